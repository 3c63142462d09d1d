"""`mtray init`: what it writes is accepted by `check` as written, whatever shape the input has."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from brought_factory import tmx, unit
from test_cli import run

from mtray.cli import _parser
from mtray.commands.init import _ask
from mtray.errors import ConfigError
from mtray.first_study.fitting import GB, Machine, fit, rounded_down, set_size
from mtray.first_study.text import scalar
from mtray.search_space.space import load_space
from mtray.study import load_study
from mtray.yaml_files import read_yaml

WORDS = ["cat", "dog", "house", "tree", "river", "sun", "moon", "bread", "door", "road"]
SLOVA = ["кіт", "пес", "дім", "дерево", "річка", "сонце", "місяць", "хліб", "двері", "дорога"]


def pairs(first, count):
    """Pairs that all differ."""
    for i in range(first, first + count):
        places = [(i * 7 + k * k) % 10 for k in range(3 + i % 5)]
        yield tuple(" ".join(w[p] for p in places) + f" {i}" for w in (WORDS, SLOVA))


TRAIN, DEV = list(pairs(0, 200)), list(pairs(1000, 60))


def lines(name, texts):
    Path(name).write_text("\n".join(texts) + "\n", encoding="utf-8")


def two_files(stem, rows):
    for code, texts in zip(("en", "uk"), zip(*rows, strict=True), strict=True):
        lines(f"{stem}.{code}", texts)
    return [f"{stem}.en", f"{stem}.uk"]


def named_files(stem, rows):
    a, b = two_files(stem, rows)
    return [f"uk={b}", f"en={a}"]


def tsv(stem, rows):
    lines(f"{stem}.tsv", ["source\ttarget", *("\t".join(row) for row in rows)])
    return [f"{stem}.tsv"]


def tmx_file(stem, rows):
    Path(f"{stem}.tmx").write_text(
        tmx(*(unit(("en", a), ("uk", b)) for a, b in rows)), encoding="utf-8"
    )
    return [f"{stem}.tmx"]


def jsonl(stem, rows):
    lines(f"{stem}.jsonl", [json.dumps({"translation": {"en": a, "uk": b}}) for a, b in rows])
    return [f"{stem}.jsonl"]


def hub_like(stem, rows):
    folder = Path(stem)
    folder.mkdir()
    columns = dict(zip(("en", "uk"), map(list, zip(*rows, strict=True)), strict=True))
    for split in ("train", "test") if stem == "train" else ("test",):
        pq.write_table(pa.table(columns), folder / f"{split}-00000-of-00001.parquet")
    return [stem]


SMALL = Machine(2, 3.1 * GB)  # Ray leaves nothing for a model
ROOMY = Machine(2, 16 * GB)
# shape of the files, with monolingual text, with replay, machine
CASES = {
    "two files": (two_files, True, False, ROOMY),
    "named files, replay": (named_files, False, True, ROOMY),
    "TSV, LoRA": (tsv, True, True, SMALL),
    "TMX": (tmx_file, False, False, ROOMY),
    "JSONL": (jsonl, False, False, SMALL),
    "hub-like folder": (hub_like, True, False, ROOMY),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(*options):
    base = ["init", "--model", "embedded", "--direction", "en-uk", "--comet", "none"]
    return run(*base, *options)


@pytest.mark.parametrize("case", CASES)
def test_check_accepts_what_is_written(here, monkeypatch, capsys, case):
    shape, mono, replay, machine = CASES[case]
    monkeypatch.setattr("mtray.commands.init.this_machine", lambda: machine)
    options = ["--parallel", *shape("train", TRAIN), "--test", *shape("dev", DEV), "--name", "my"]
    if mono:
        lines("mono.txt", [a for a, _ in pairs(3000, 150)])
        options += ["--mono", "en=mono.txt"]
    if replay:
        rows = [{"instruction": f"Say {i}", "output": f"It is {i}."} for i in range(80)]
        lines("replay.jsonl", map(json.dumps, rows))
        options += ["--replay", "replay.jsonl"]
    assert begin(*options) == 0
    next_command = capsys.readouterr().out.splitlines()[-1].removeprefix("next: ")
    assert next_command == "python -m mtray check --study my.yaml --space my.space.yaml"
    assert run(*next_command.split()[3:]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("next: python -m mtray sweep")
    study, space = read_yaml(here / "my.yaml"), read_yaml(here / "my.space.yaml")
    assert ("mono_ratio" in space, "replay_fraction" in space) == (mono, replay)
    assert space["method"] == ("lora" if machine is SMALL else "full")
    assert ("lora_rank" in space) == (machine is SMALL)
    assert 100 < space["parallel_size"]["high"] <= 200
    assert study["sources"][0]["path"] == load_relative(study["sources"][0]["path"])
    assert (here / "my.yaml").read_text().count("#") > 5


def load_relative(path):
    """Paths stay relative, so that the folder can be moved."""
    found = path.values() if isinstance(path, dict) else [path]
    assert not any(Path(name).is_absolute() for name in found)
    return path


def test_long_texts_fit_the_positions_of_the_model(here, capsys):
    """Room for an answer, and `few_shot` only where its examples fit as well."""
    long = [(f"{a} " * 12, f"{b} " * 12) for a, b in TRAIN]
    options = ["--parallel", *tsv("train", long), "--test", *tsv("dev", long[:60])]
    assert begin(*options, "--name", "my") == 0
    study = load_study(here / "my.yaml")
    assert "few_shot.uk-en" not in study.evaluation.abilities
    assert "few_shot.uk-en: " in (here / "my.yaml").read_text(encoding="utf-8")
    assert run("check", "--study", "my.yaml", "--space", "my.space.yaml") == 0
    text = (here / "my.yaml").read_text(encoding="utf-8")
    tokens = study.evaluation.max_new_tokens
    wide = text.replace(f"max_new_tokens: {tokens}", "max_new_tokens: 500")
    (here / "my.yaml").write_text(wide, encoding="utf-8")
    assert run("check", "--study", "my.yaml", "--space", "my.space.yaml") == 2
    found = capsys.readouterr().err
    assert "`evaluation.quality: en-uk`: " in found and "model's 512 positions" in found
    assert "a smaller `max_new_tokens`" in found and "Traceback" not in found


def test_nothing_is_overwritten_or_left_behind(here, capsys):
    files = two_files("train", TRAIN)
    options = ["--parallel", *files, "--test", *two_files("dev", DEV), "--name", "my"]
    (here / "my.space.yaml").write_text("mine")
    assert begin(*options) == 2
    assert "my.space.yaml: exists already; give another --name or --out" in capsys.readouterr().err
    assert (here / "my.space.yaml").read_text() == "mine" and not (here / "my.yaml").exists()
    lines("few.en", ["one", "two"])
    lines("few.uk", ["один", "два"])
    few = ["--parallel", "few.en", "few.uk", "--test", "dev.en", "dev.uk", "--name", "few"]
    assert begin(*few) == 2
    assert "--parallel: 2 pairs are left of those given" in capsys.readouterr().err
    assert not list(here.glob("few*.yaml"))


MISTAKES = {
    "no file": (["--parallel", "none.tsv", "--test", "dev.tsv"], "--parallel none.tsv: no such"),
    "columns": (["--parallel", "odd.tsv", "--test", "dev.tsv"], "tried the columns en/uk, "),
    "three files": (["--parallel", "dev.tsv", "dev.tsv", "dev.tsv", "--test", "dev.tsv"],
                    "expected one file, or one for each language, as in --parallel en=FILE"),
    "mono": (["--parallel", "dev.tsv", "--test", "dev.tsv", "--mono", "dev.tsv"],
             "--mono dev.tsv: expected LANGUAGE=FILE, such as uk=FILE"),
    "name": (["--parallel", "dev.tsv", "--test", "dev.tsv", "--name", "a/b"], "--name a/b: exp"),
    "missing": (["--parallel", "dev.tsv"], "--test: missing; give it"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_names_the_option(here, capsys, case):
    tsv("dev", DEV)
    lines("odd.tsv", ["english\tukrainisch", "a\tb"])
    options, message = MISTAKES[case]
    assert begin(*options) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and "Traceback" not in err
    assert not list(here.glob("*.yaml"))


def test_a_direction_must_be_one(here, capsys):
    options = ["--model", "embedded", "--parallel", "x", "--test", "x"]
    for direction in ("en", "en-en", "english-uk"):
        assert run("init", "--direction", direction, *options) == 2
        assert f"--direction {direction}: " in capsys.readouterr().err


class Terminal:
    def isatty(self):
        return True


def test_a_terminal_is_asked(monkeypatch):
    """What was given is not asked for; an empty answer to what is needed is asked again."""
    answers = iter(["", "my-model", "en=a.en uk=a.uk", "'dev set.tsv'", "en=mono.txt"])
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or next(answers))
    args = _parser().parse_args(["init", "--direction", "en-uk"])
    _ask(args, Terminal())
    assert (args.model, args.parallel) == ("my-model", [["en=a.en", "uk=a.uk"]])
    assert (args.test, args.mono) == (["dev set.tsv"], ["en=mono.txt"])
    assert len(asked) == 5 and not any("direction to" in text for text in asked)


B = 1e9
# parameters, machine, whether 4-bit weights can be used: method, CPUs, GPUs
FITS = [
    (3e6, Machine(2, 16 * GB), False, ("full", 1, 0)),
    (0.6 * B, Machine(8, 32 * GB), False, ("full", 8, 0)),
    (0.6 * B, Machine(8, 12 * GB), False, ("lora", 8, 0)),
    (0.6 * B, Machine(16, 64 * GB, 2, 24 * GB), False, ("full", 4, 1)),
    (1.2 * B, Machine(16, 64 * GB, 2, 24 * GB), False, ("lora", 4, 1)),
    (7 * B, Machine(16, 256 * GB, 1, 80 * GB), True, ("lora", 4, 1)),
    (13 * B, Machine(16, 64 * GB, 1, 24 * GB), True, ("qlora", 4, 1)),
]


@pytest.mark.parametrize(("parameters", "machine", "four_bits", "expected"), FITS)
def test_the_method_fits_size_and_memory(parameters, machine, four_bits, expected):
    found = fit(int(parameters), machine, four_bits)
    assert (found.method, found.cpus_per_worker, found.gpus_per_worker) == expected
    assert found.short_gb == 0


def test_memory_that_is_missing_is_told():
    found = fit(int(13e9), Machine(16, 64 * GB, 1, 24 * GB), four_bits=False)
    assert found.method == "lora" and found.short_gb == pytest.approx(13 * 5 - 0.9 * 24)


def test_evaluation_is_smaller_for_larger_models():
    found = fit(int(1e9), ROOMY)
    sizes = [set_size(found, int(p), 100, 4, 2000) for p in (1e6, 1e8, 1e10)]
    assert sizes[0] == 500 and sizes[-1] == 60 and sizes == sorted(sizes, reverse=True)
    assert set_size(found, int(1e6), 100, 4, 30) == 30


@pytest.mark.parametrize(
    ("number", "expected"), [(12_345, 12_000), (1.37, 1.3), (0.0456, 0.045), (7, 7), (0, 0)]
)
def test_rounding_down(number, expected):
    assert rounded_down(number) == pytest.approx(expected)


HOSTILE = ["no", "on", "1e5", "null", "a: b", "- x", "{corpora}", 'qu"ote', "ü ж", "#x", "a b", "~"]


def test_any_text_is_read_as_it_was(here):
    Path("x.yaml").write_text(f"found: {scalar(HOSTILE)}\n", encoding="utf-8")
    assert read_yaml(Path("x.yaml"))["found"] == HOSTILE


def test_the_default_space_needs_nothing_more(here):
    """`_ask` on no terminal names everything that is missing."""
    args = _parser().parse_args(["init"])
    with pytest.raises(ConfigError, match="--model, --direction, --parallel, --test: missing"):
        _ask(args)


def test_sources_of_one_kind_have_names_of_their_own(here, capsys):
    two_files("train", TRAIN)
    tsv("more", list(pairs(400, 100)))
    lines("mono.txt", [a for a, _ in pairs(3000, 50)])
    lines("other.txt", [a for a, _ in pairs(5000, 50)])
    options = ["--parallel", "train.en", "train.uk", "--parallel", "more.tsv"]
    options += ["--mono", "en=mono.txt", "en=other.txt", "--test", *two_files("dev", DEV)]
    assert begin(*options, "--held-out", *tsv("last", list(pairs(8000, 20)))) == 0
    study = load_study(here / "embedded-en-uk.yaml")
    assert [s.name for s in study.sources] == ["pairs", "pairs2", "mono-en", "mono-en2"]
    space = load_space(here / "embedded-en-uk.space.yaml", study.defaults, study.sources)
    assert space.parameters["parallel_size"].high == 200  # twice the smaller source
    assert study.evaluation.quality[0].test["path"].endswith("last.tsv")


@pytest.mark.parametrize(
    "options, said",
    [
        (["--out", "train.en"], "train.en/my.yaml: cannot be written (File exists)"),
        (["--out", "/proc/x"], "/proc/x/my.yaml: cannot be written (No such file or directory)"),
        (["--name", "x" * 247], "cannot be written (File name too long); give another --out or"),
    ],
)
def test_a_place_that_cannot_be_written_is_an_error(here, capsys, options, said):
    files = [*two_files("train", TRAIN), "--test", *two_files("dev", DEV)]
    assert begin("--parallel", *files, "--name", "my", *options) == 2
    assert said in capsys.readouterr().err
    assert not list(here.glob("*.yaml"))


def test_a_path_that_is_not_utf_8_is_named(here, capsys):
    folder = Path(os.fsdecode(b"b\xff"))
    folder.mkdir()
    files = [*two_files(f"{folder}/train", TRAIN), "--test", *two_files("dev", DEV)]
    assert begin("--parallel", *files) == 2
    said = capsys.readouterr().err
    assert "b\ufffd/train.en: the path is not UTF-8" in said
    assert not list(here.glob("*.yaml"))
