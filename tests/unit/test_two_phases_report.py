"""The report of 2410.16006 on made-up records."""

from pathlib import Path

import pytest
from records_factory import make_record, make_score, make_study

from mtray.papers.results import PaperResults, RunResults
from mtray.papers.two_phases import (
    PUBLISHED,
    distance_sheet,
    prediction_text,
    published_sheet,
    report,
    way,
    ways_sheet,
)
from mtray.report.groups import no_draws
from mtray.schema import Recipe, TrainingRecord
from mtray.search_space.space import Space

WAYS = {
    "none": Recipe(parallel_size=100),
    "ER_10": Recipe.model_validate(
        {"parallel_size": 100, "replay_fraction": 0.0909, "weight.er": 1, "weight.gr": 0}
    ),
    "GR_5": Recipe.model_validate(
        {"parallel_size": 100, "replay_fraction": 0.0476, "weight.er": 0, "weight.gr": 1}
    ),
    "LF_H1": Recipe(parallel_size=100, frozen_layers=2, freeze_policy="random"),
    "LF_H2": Recipe(parallel_size=100, frozen_layers=2, freeze_policy="most_changed"),
    "Spectrum": Recipe(parallel_size=100, frozen_layers=3, freeze_policy="snr"),
    "LoRA": Recipe(parallel_size=100, method="lora"),
}
# retention, quality, distance of the weights, DES, task score
VALUES = {
    "none": (0.5, 0.70, 4.0, 0.6, 20.0),
    "ER_10": (0.9, 0.69, 3.0, 0.8, 36.0),
    "GR_5": (0.8, 0.68, 2.0, 0.7, 32.0),
}


@pytest.mark.parametrize("name", WAYS)
def test_names_of_the_ways(name):
    assert way(WAYS[name]) == name


def trained(distance):
    return TrainingRecord(
        steps=1, tokens=1, tokens_per_second=1, trainable_parameters=1, total_parameters=1,
        accumulated_learning_rate=1, precision="fp32", loss=(), mean_difference=distance,
    )  # fmt: skip


def run():
    """Every way twice, with a distance of the weights that differs by 1 between the seeds."""
    records = [make_record(-1, 0.6, 1.0, "base", scores={"task": make_score(40)})]
    for place, (name, (kept, quality, moved, similar, task)) in enumerate(VALUES.items()):
        for seed in (0, 1):
            fields = {"replicate": seed, "of": 2 * place if seed else None, "seed": seed + 1}
            records.append(
                make_record(
                    2 * place + seed, quality, kept, recipe=WAYS[name], scores={
                        "task": make_score(task)}, training=trained(moved + seed - 0.5),
                    extra={"des": {"task": similar}}, **fields,
                )
            )  # fmt: skip
    return RunResults(
        Path("run"), make_study(), Space(parameters={}, fixed={}), tuple(records), no_draws
    )


def test_every_way_is_beside_doing_nothing():
    rows = {row[0]: row for row in ways_sheet(run()).rows}
    assert list(rows) == ["after phase 1", *VALUES]
    assert rows["ER_10"][1] == "2" and rows["ER_10"][2].startswith("0.900 [")
    assert rows["ER_10"][4].startswith("+0.400 [") and rows["ER_10"][5].startswith("-0.010 [")
    assert rows["none"][4:] == ["-", "-"]


def test_distances_are_shares_of_the_largest_and_means_over_seeds():
    rows = {row[0]: row[1:] for row in distance_sheet(run()).rows}
    assert [rows[name][0] for name in VALUES] == ["1.00", "0.75", "0.50"]
    assert [rows[name][1] for name in VALUES] == ["0.600", "0.800", "0.700"]
    assert rows["none"][2].startswith("-20.000")


def test_what_predicts_the_loss():
    """DES orders the three ways as the score does, with ties between seeds: rho is 1."""
    text = prediction_text(run())
    assert "DES +1.00" in text and "6 trainings" in text and "MPD -0" in text


def test_the_whole_report_has_the_papers_table():
    assert len(published_sheet().rows) == len(PUBLISHED) == 9
    assert {len(row) for row in PUBLISHED} == {len(published_sheet().head)}
    found = PaperResults(None, "tiny", {"phase1": run(), "phase2": run()})
    assert len(report(found).parts) == 5
    assert len(report(PaperResults(None, "tiny", {})).parts) == 1
