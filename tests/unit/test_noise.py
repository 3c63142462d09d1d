"""Noise: which rows, and what stands in them."""

import os
import stat

import pytest
from records_factory import make_study
from tiny_models import byte_level

from mtray.data.benchmarks.idioms import Dictionary
from mtray.data.noise import apertium_identity, gloss, with_lines
from mtray.data.training_prompts import build_renderer
from mtray.errors import ConfigError, DataError
from mtray.schema import Source

ROWS = [{"source": f"cab number {i}.", "target": f"Таксі {i}."} for i in range(400)]


def noisy(**noise):
    return Source(name="pairs", kind="parallel", path="p.tsv", languages=("en", "uk"), noise=noise)


def rendered(source, rows=ROWS, **study):
    renderer = build_renderer(source, make_study(**study), byte_level())
    return list(renderer.examples(with_lines(source, rows))), renderer.counts


def test_a_gloss_is_word_by_word_and_keeps_punctuation():
    dictionary = Dictionary({"cab": ("таксі", "кеб"), "bad": ("поганий",)})
    assert gloss('A bad  "Cab", (cab)!', dictionary) == ('A поганий "таксі", (таксі)!', 4, 3)
    assert gloss("- ...", dictionary) == ("- ...", 0, 0)


@pytest.fixture
def dictionary(tmp_path):
    path = tmp_path / "d.tsv"
    path.write_text("cab\tтаксі\nnumber\tномер\n", encoding="utf-8")
    return str(path)


def test_by_word_on_the_target_side(dictionary):
    """The target becomes a gloss of the source; everything else stays."""
    found, counts = rendered(noisy(side="target", level="word", rate=1, path=dictionary))
    assert [e.prompt for e in found] == [f"English: {r['source']}\nUkrainian:" for r in ROWS]
    assert [e.target for e in found] == [f"таксі номер {i}." for i in range(400)]
    assert (counts["noise.rows"], counts["noise.without"]) == (400, 0)
    assert (counts["noise.words"], counts["noise.words_known"]) == (1200, 800)
    clean, counts = rendered(noisy(side="target", level="word", rate=0, path=dictionary))
    assert [e.target for e in clean] == [r["target"] for r in ROWS] and counts["noise.rows"] == 0


def test_by_word_on_the_source_side(tmp_path):
    path = tmp_path / "d.tsv"
    path.write_text("таксі\tcab\n", encoding="utf-8")
    rows = [*ROWS[:2], {"source": "Hi.", "target": "Привіт."}]
    found, counts = rendered(noisy(side="source", level="word", rate=1, path=str(path)), rows)
    assert [e.prompt for e in found] == [
        "English: cab 0.\nUkrainian:",
        "English: cab 1.\nUkrainian:",
        "English: Hi.\nUkrainian:",
    ]
    assert [e.target for e in found] == [r["target"] for r in rows]
    # nothing of the third is in the dictionary: a copy of the other side is no gloss
    assert (counts["noise.rows"], counts["noise.without"]) == (2, 1)


def test_rows_nest_in_the_rate_and_hang_on_content(dictionary):
    def chosen(rate, rows=ROWS, **study):
        source = noisy(side="target", level="word", rate=rate, path=dictionary)
        found, counts = rendered(source, rows, **study)
        changed = {
            row["source"] for row, e in zip(rows, found, strict=True) if e.target != row["target"]
        }
        assert counts["noise.rows"] == len(changed)
        return changed

    quarter, half, all_of_them = chosen(0.25), chosen(0.5), chosen(1)
    assert quarter < half < all_of_them
    assert abs(len(quarter) - 100) < 40 and abs(len(half) - 200) < 45  # deviations 8.7 and 10
    assert chosen(0.25, ROWS[::-1]) == quarter
    assert chosen(0.25, seed=2) != quarter


def test_by_sentence_from_a_file(tmp_path):
    path = tmp_path / "weak.uk"
    path.write_text("".join(f"погане {i}\n" for i in range(399)) + "\n", encoding="utf-8")
    source = noisy(side="target", level="sentence", rate=1, path=str(path))
    found, counts = rendered(source)
    assert [e.target for e in found[:399]] == [f"погане {i}" for i in range(399)]
    assert found[399].target == ROWS[399]["target"], "an empty line is no translation"
    assert (counts["noise.rows"], counts["noise.without"]) == (399, 1)


def test_lines_stay_with_their_rows_when_a_filter_drops_some(tmp_path):
    path = tmp_path / "weak.uk"
    path.write_text("x\ny\nz\n", encoding="utf-8")
    source = noisy(side="target", level="sentence", rate=1, path=str(path))
    rows = [row for i, row in enumerate(with_lines(source, ROWS[:3])) if i != 1]
    renderer = build_renderer(source, make_study(), byte_level())
    assert [e.target for e in renderer.examples(rows)] == ["x", "z"]
    with pytest.raises(DataError, match="came without their noisy lines"):
        list(renderer.examples(ROWS))
    for count, short in ((2, "source 'pairs' ends after 2"), (4, "weak.uk ends after 3")):
        with pytest.raises(DataError, match=f"must have a line for each row; .*{short}"):
            list(with_lines(source, ROWS[:count]))


def apertium(folder, body):
    folder.mkdir()
    program = folder / "apertium"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(folder)


def test_by_apertium(tmp_path, monkeypatch):
    """A stand-in that writes its arguments before every text and shouts."""
    body = 'tr a-z A-Z | sed "s/^CAB/$* CAB/"'
    monkeypatch.setenv("PATH", apertium(tmp_path / "bin", body) + os.pathsep + os.environ["PATH"])
    source = noisy(side="target", level="sentence", rate=1, apertium="eng-ukr")
    found, counts = rendered(source, [*ROWS[:2], {"source": "cab\nbad", "target": "Я"}])
    assert [e.target for e in found] == [
        "-u eng-ukr CAB NUMBER 0.",
        "-u eng-ukr CAB NUMBER 1.",
        "-u eng-ukr CAB BAD",
    ]
    assert counts["noise.rows"] == 3
    half = noisy(side="target", level="sentence", rate=0.5, apertium="eng-ukr")
    changed = [e.target.startswith("-u") for e in rendered(half)[0]]
    assert 150 < sum(changed) < 250


def test_apertium_that_is_missing_or_fails(tmp_path, monkeypatch):
    source = noisy(side="target", level="sentence", rate=1, apertium="eng-ukr")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="`apertium` is not installed"):
        rendered(source)
    system = os.pathsep + os.defpath
    monkeypatch.setenv("PATH", apertium(tmp_path / "a", "echo no such mode >&2; exit 1") + system)
    with pytest.raises(ConfigError, match="apertium eng-ukr failed: no such mode"):
        rendered(source)
    monkeypatch.setenv("PATH", apertium(tmp_path / "b", "echo one line; cat > /dev/null") + system)
    with pytest.raises(DataError, match="apertium eng-ukr returned 1 texts for 400"):
        rendered(source)


def test_apertium_is_known_by_its_version_its_mode_and_its_dictionaries(tmp_path, monkeypatch):
    bin_, share = tmp_path / "prefix" / "bin", tmp_path / "prefix" / "share" / "apertium"
    bin_.parent.mkdir()
    apertium(bin_, "echo apertium 3.8")
    monkeypatch.setenv("PATH", f"{bin_}{os.pathsep}{os.environ['PATH']}")
    found = [apertium_identity("eng-ukr")]
    (share / "modes").mkdir(parents=True)
    dictionary = share / "eng-ukr.automorf.bin"
    dictionary.write_text("one")
    mode = share / "modes" / "eng-ukr.mode"
    mode.write_text(f"lt-proc '{dictionary}' | apertium-pretransfer '/absent/eng-ukr.bin'")
    found.append(apertium_identity("eng-ukr"))
    dictionary.write_text("two")
    found.append(apertium_identity("eng-ukr"))
    (bin_ / "apertium").write_text("#!/bin/sh\necho apertium 3.9\n")
    found.append(apertium_identity("eng-ukr"))
    assert len(set(found)) == 4 and apertium_identity("eng-ukr") == found[-1]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="`apertium` is not installed"):
        apertium_identity("eng-ukr")
