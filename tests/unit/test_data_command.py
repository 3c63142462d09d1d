"""`mtray data build | peek | stats` on a small study."""

import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from shard_factory import BackwardsHelpers

from mtray.cli import main
from mtray.data import shards
from mtray.data.store import build_store
from mtray.preparation import prepare
from mtray.search_space.space import load_space
from mtray.study import load_study
from mtray.sweep_plan import plan_lines, source_line
from mtray.training.models import load_tokenizer

STUDY = """
name: small
model: embedded
sources:
  - {name: pairs, kind: parallel, languages: [en, es], path: pairs.tsv, filters: {duplicates: row}}
  - {name: mono, kind: mono, languages: [en], path: mono.txt}
mixing: {count: tokens}
evaluation:
  comet: embedded
  quality: [{direction: en-es, path: dev.tsv}]
  abilities: {}
training: {max_length: 40}
"""
OBJECTIVES = "objectives: {chrf.en-es: max, cost.seconds: min}\n"
SPACE = "parallel_size: {type: int, low: 5, high: 9}\nlearning_rate: 0.001\n"
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path / "store"))
    lines = [f"{a} {b}\t{b} {a} ." for a in WORDS for b in WORDS]
    (tmp_path / "pairs.tsv").write_text("en\tes\n" + "\n".join([*lines, lines[0], "\tnada"]))
    mono = [*(f"{a} and {b}" for a in WORDS for b in WORDS), "much too long " * 40]
    (tmp_path / "mono.txt").write_text("\n".join(mono))
    (tmp_path / "dev.tsv").write_text("en\tes\nA quite different thing.\tOtra cosa.\n")
    (tmp_path / "study.yaml").write_text(STUDY)
    return str(tmp_path / "study.yaml")


def run(capsys, *options):
    code = main(["data", *options])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_build_says_what_is_there(study, capsys):
    code, out, _ = run(capsys, "build", study)
    assert code == 0
    assert re.search(r"pairs: 64 examples, .* tokens, .* MB \(built", out)
    assert "64 of 66 rows kept; left out: 1 empty, 1 duplicates" in out
    assert "1 examples over 40 tokens are left out" in out
    assert run(capsys, "build", study)[1].count("(reused") == 2
    assert "mono" not in run(capsys, "build", study, "--source", "pairs")[1]


def test_peek_shows_prompt_and_target(study, capsys):
    """Before and after the store is built: in another order, and with the same marks."""
    for order in ("file's order", "study's order"):
        _, out, _ = run(capsys, "peek", study, "--rows", "2")
        assert out.count(order) == 2
        assert len(re.findall(r"English: \w+ \w+\nSpanish:⟦ \w+ \w+ \.</s>⟧", out)) == 2
        assert len(re.findall(r"<s>⟦\w+ and \w+</s>⟧", out)) == 2
        main(["data", "build", study])
    _, out, _ = run(capsys, "peek", study, "--recipe", "parallel_size=5", "mono_ratio=0.1")
    assert "the first of 5 drawn" in out and "5 parallel" not in out
    assert len(re.findall(r"⟦", out)) == 3 + min(3, drawn(out, "mono"))


def test_peek_shows_few_shot_rows_as_a_trial_draws_them(study, capsys):
    options = ("--rows", "9", "--recipe", "parallel_size=9", "few_shot_share=1")
    _, out, _ = run(capsys, "peek", study, *options)
    pairs, mono = out.split("mono (mono): ")
    assert mono == "the first of 0 drawn\n"
    shown = pairs.split("pairs (parallel): ")[1]
    # 40 tokens hold a shot or two
    assert shown.count("⟦") == 9 and shown.count("English: ") > 15
    assert shown.count("Spanish:⟦") == 9


def test_after_a_build_for_a_space_nothing_is_tokenised(study, capsys, tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text(f"{SPACE}few_shot_share: 0.5\n")
    _, out, _ = run(capsys, "build", study, "--space", str(space))
    assert re.search(r"^pairs\+few_shot: 64 examples, .*\(built", out, re.MULTILINE)
    assert "mono+few_shot" not in out
    recipe = ("--recipe", "parallel_size=5", "few_shot_share=0.5")
    _, out, _ = run(capsys, "stats", study, *recipe)
    assert out.count(": reused (") == 3 and "tokenised" not in out
    space.write_text(SPACE)
    assert "few_shot" not in run(capsys, "build", study, "--space", str(space))[1]
    assert "few_shot" not in run(capsys, "build", study)[1]
    Path(study).write_text(
        STUDY.replace("languages: [en, es],", "languages: [en, es], shots: [1, 2],")
    )
    assert "pairs+few_shot" in run(capsys, "build", study)[1]
    Path(study).write_text(STUDY + "defaults: {few_shot_share: 0.1}\n")
    assert "pairs+few_shot" in run(capsys, "build", study)[1]


def test_a_cluster_is_asked_for_help(study, capsys, tmp_path, monkeypatch):
    """By `data build` and before a sweep: for every store, where building takes long."""
    asked = []

    class Tasks(BackwardsHelpers):
        def runner(self, store, work, inputs):
            asked.append((self.address, store))
            return super().runner(store, work, inputs)

    @contextmanager
    def tasks(address, resources, say):
        found = Tasks()
        found.address = address
        yield found

    monkeypatch.setattr(shards, "ALONE", 0.0)
    monkeypatch.setattr("mtray.commands.data.shard_tasks", tasks)
    monkeypatch.setattr("mtray.commands.data.check_address", lambda address: None)
    monkeypatch.setattr("mtray.search.execution.shard_tasks.shard_tasks", tasks)
    out = run(capsys, "build", study, "--address", "head:1")[1]
    assert asked == [("head:1", "pairs"), ("head:1", "mono")]
    assert out.count("1 of 1 shards by tasks in 1 process on 1 machine)") == 2
    assert "  reads and filters in this process (duplicates compares rows)\n" in out
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path / "other"))
    (tmp_path / "space.yaml").write_text(SPACE)
    Path(study).write_text(STUDY.replace("comet: embedded", "comet: none") + OBJECTIVES)
    loaded = load_study(Path(study))
    prepare(loaded, load_space(tmp_path / "space.yaml"), address="head:2")
    assert asked[2:] == [("head:2", "pairs"), ("head:2", "mono")]


def test_a_plan_says_what_filters_left_out(study, tmp_path):
    """`check` and a sweep print it, with what is too long."""
    with (tmp_path / "mono.txt").open("a") as file:
        file.write("\nA quite different thing.\n")
    given = STUDY + "filters: {leakage: drop}\n"
    Path(study).write_text(given)
    found = load_study(Path(study))
    tables = build_store(found, load_tokenizer(found.model))
    pairs, mono = (source_line(name, table) for name, table in tables.items())
    assert pairs == "  source pairs: 64 examples; 2 left out: empty 1, duplicates 1"
    assert mono.endswith("64 examples; 2 left out: leakage 1, over max_length 1")
    Path(study).write_text(STUDY + "filters: {leakage: allow}\n")
    mono = source_line(
        "mono", build_store(load_study(Path(study)), load_tokenizer("embedded"))["mono"]
    )
    assert mono.endswith("65 examples; 1 left out: over max_length 1; 1 allowed: leakage 1")


def test_what_readers_leave_out_is_said(study, tmp_path, capsys):
    """By `data build`, also of a store that is reused, and by `check`, of evaluation sets too."""
    sides = "".join(f'<tuv lang="{code}"><seg>{code} one\x02</seg></tuv>' for code in ("en", "es"))
    for name, units in {"pairs.tmx": 12, "dev.tmx": 1}.items():
        (tmp_path / name).write_text(f"<tmx>{f'<tu>{sides}</tu>' * units}</tmx>")
    (tmp_path / "study.yaml").write_text(
        STUDY.replace(".tsv", ".tmx").replace(", filters: {duplicates: row}", "")
        + "filters: {leakage: allow}\nobjectives: {quality: max, cost.seconds: min}\n"
    )
    expected = f"{tmp_path}/pairs.tmx: 24 characters that XML forbids"
    for _ in range(2):
        assert run(capsys, "build", study)[1].count(f"  {expected}") == 1
    (tmp_path / "space.yaml").write_text(SPACE)
    lines = plan_lines(prepare(load_study(Path(study)), load_space(tmp_path / "space.yaml")))
    (source,) = (line for line in lines if line.startswith("    note: "))
    (evaluated,) = (line for line in lines if line.startswith("  note: "))
    assert source.startswith(f"    note: {expected}")
    assert evaluated.startswith(f"  note: {tmp_path}/dev.tmx: 2 characters that XML forbids")


def drawn(out, name):
    (found,) = re.findall(rf"^{name} +\w+ +[\d.,]+(?: tokens)? +(\d+)", out, re.MULTILINE)
    return int(found)


def test_stats_count_and_mix(study, capsys):
    _, out, _ = run(capsys, "stats", study)
    assert re.search(r"^pairs +parallel +en-es +64 +0 ", out, re.MULTILINE)
    assert re.search(r"^mono +mono +en +64 +1 ", out, re.MULTILINE)
    _, out, _ = run(capsys, "stats", study, "--recipe", "parallel_size=20", "mono_ratio=0.5")
    assert drawn(out, "pairs") == 20
    rows = {line.split()[0]: line.replace(",", "").split() for line in out.splitlines() if line}
    # name kind requested "tokens" realised tokens ...
    wanted, got = float(rows["mono"][2]), int(rows["mono"][5])
    assert abs(wanted - got) <= 10 and wanted == int(rows["pairs"][4]) / 2


def test_stats_of_a_space_say_the_most_that_is_asked(study, capsys, tmp_path):
    """Also where a condition lets one size be large where another is off, and ratios are of tokens:
    pairs have 9 and lines 5."""
    space = tmp_path / "space.yaml"
    space.write_text(
        SPACE + "mono_ratio: {type: float, low: 0, high: 2}\nfew_shot_share: {type: float, low: 0, "
        "high: 1, when: {mono_ratio: {below: 0.1}}}\n"
    )
    _, out, _ = run(capsys, "stats", study, "--space", str(space))
    rows = {line.split()[0]: line.split()[1:3] for line in out.split("at most")[1].splitlines()[1:]}
    tables = build_store(load_study(Path(study)), load_tokenizer("embedded"))
    assert rows["pairs"] == ["9", "64"]
    wanted = 2 * tables["pairs"].lengths()[:9].sum()
    mono = int(np.searchsorted(np.cumsum(tables["mono"].lengths()), wanted))
    assert int(rows["mono"][0]) - mono in (0, 1) and rows["mono"][1] == "64"


@pytest.mark.parametrize(
    "options, message",
    [
        (["build", "--address", "nowhere"], "expected auto or HOST:PORT of the cluster's head"),
        (["peek", "--source", "nope"], "no source 'nope'; it has pairs, mono"),
        (["peek", "--rows", "0"], "--rows: expected 1 or more"),
        (["stats", "--recipe", "alpha=1"], "'alpha' is now called reversion_alpha"),
        (["stats", "--recipe", "mono=1"], "expected KEY=VALUE with a key of parallel_size"),
        (["stats", "--recipe", "mono_ratio=-1"], "mono_ratio"),
        (["stats", "--recipe", "parallel_size=999"], "holds 64 examples and the recipe asks for"),
    ],
)
def test_mistakes_are_named(study, capsys, options, message):
    code, _, err = run(capsys, options[0], study, *options[1:])
    assert code == 2 and message in " ".join(err.split())
