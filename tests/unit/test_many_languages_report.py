"""The report of 2305.15083 on made-up records."""

from pathlib import Path

import pytest
from records_factory import make_record, make_score, make_study

from mtray.papers.many_languages import (
    beyond_sheet,
    failures_sheet,
    gains_sheet,
    report,
    seen,
    similarity_text,
    text_similarity,
    unpaired,
)
from mtray.papers.results import PaperResults, RunResults
from mtray.report.groups import no_draws
from mtray.schema import Evaluation, Mix, QualitySet, Recipe, Source, SourceShare
from mtray.search_space.space import Space

DIRECTIONS = ("en-es", "es-en", "es-uk")


def mix(**realised):
    return Mix(shares=tuple(
        SourceShare(source=name, kind="parallel", requested=n, realised=n, available=99,
                    tokens=n, repeats=0.1) for name, n in realised.items()
    ))  # fmt: skip


def scores(chrf, shots, copied):
    found = {f"chrf.{d}": make_score(chrf + i, 2) for i, d in enumerate(DIRECTIONS)}
    found |= {f"shots.{d}": make_score(shots, 1.5) for d in DIRECTIONS}
    return found | {f"failures.copy.{d}": make_score(copied * i) for i, d in enumerate(DIRECTIONS)}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "dev.tsv").write_text("en\tes\tuk\nred casa\tred casa\tдім\nnoun\tverb\tдієслово\n")
    pairs = (("first", ("en", "es")), ("third", ("es", "uk")))
    study = make_study(
        sources=tuple(
            Source(name=name, kind="parallel", path="p.tsv", languages=codes)
            for name, codes in pairs
        ),
        evaluation=Evaluation(
            comet="embedded", abilities={},
            quality=[QualitySet(direction=d, path=str(tmp_path / "dev.tsv")) for d in DIRECTIONS],
        ),
    )  # fmt: skip
    records = (
        make_record(-1, role="base", scores=scores(30, 40, 0.1)),
        make_record(0, recipe=Recipe(parallel_size=500), mix=mix(first=500, third=0),
                    scores=scores(50, 35, 0.02)),
    )  # fmt: skip
    return RunResults(Path("run"), study, Space(parameters={}, fixed={}), records, no_draws)


def test_a_pair_is_seen_in_both_directions(run):
    [record] = run.recipes
    assert [seen(run, record, d) for d in DIRECTIONS] == [True, True, False]
    assert [seen(run, run.base, d) for d in DIRECTIONS] == [False] * 3


def test_gains_by_direction(run):
    untouched, row = gains_sheet(run).rows
    assert untouched[2:] == ["30.0", "31.0", "32.0"]
    assert row[:2] == ["500 pairs: en-es", "1"]
    assert all(cell.startswith("+20.0") for cell in row[2:])
    assert [cell.endswith("(seen)") for cell in row[2:]] == [True, True, False]


def test_against_examples_in_the_prompt_of_the_untouched_model(run):
    base, trained = run.records
    found = unpaired(trained, "chrf.en-es", base, "shots.en-es")
    assert (found.gap, found.low, found.high) == (10, 7.5, 12.5), "50 +- 2 minus 40 +- 1.5"
    assert unpaired(trained, "chrf.en-es", base, "nothing") is None
    _, row = beyond_sheet(run).rows
    assert [cell[:7] for cell in row[1:]] == ["+10.0 [", "+11.0 [", "+12.0 ["]


def test_failures_by_whether_a_pair_was_seen(run):
    """Copies: 0, .02 and .04 of the three directions after training, 0, .1 and .2 before."""
    sheet = failures_sheet(run)
    place = list(sheet.head).index("copy")
    assert [(row[0], row[1], row[place]) for row in sheet.rows] == [
        ("500 pairs: en-es", "seen", "1.0 (5.0)"),
        ("500 pairs: en-es", "unseen", "4.0 (20.0)"),
    ]


def test_similar_texts(run):
    """Of two lines one is the same in English and Spanish; Ukrainian shares no letter."""
    found = [text_similarity(spec, 0) for spec in run.study.evaluation.quality]
    assert found[0] > 50 and found[2] == 0
    assert "3 directions" in similarity_text(run)
    assert len(report(PaperResults(None, "tiny", {"languages": run})).parts) == 5
