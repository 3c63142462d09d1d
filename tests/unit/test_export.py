"""The exported files: the same records give the same tables, complete trials alone, every column
for every row."""

import csv
import json
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from records_factory import (
    make_baselines,
    make_failed,
    make_record,
    make_run,
    make_score,
    make_study,
    with_third,
)

from mtray.errors import RunError
from mtray.report.axis_labels import comet_name, objective_label
from mtray.report.export import export_front, front_rows, write_front
from mtray.report.front import Front
from mtray.report.front_builder import build_front
from mtray.report.hypervolume import reference_point
from mtray.report.records import write_record
from mtray.schema import Budget, Recipe, Score, Source, TrainingRecord, moved_by

# of a run in which five parameters differ from their defaults
READABLE = [
    "number", "role", "replicates", "trials", "on_front", "knee", "p_front", "parallel_size",
    "mono_ratio", "replay_fraction", "frozen_layers", "learning_rate",
    *(f"quality{end}" for end in ("", "_low", "_high", "_gain", "_gain_low", "_gain_high")),
    *(f"retention{end}" for end in ("", "_low", "_high", "_gain", "_gain_low", "_gain_high")),
]  # fmt: skip


def write_run(run_dir, records):
    for record in records:
        write_record(run_dir, record)
    return run_dir


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    run_dir = write_run(tmp_path_factory.mktemp("run"), make_run(10))
    return export_front(run_dir, make_study()), run_dir


def test_all_files_are_there_and_nothing_else(exported):
    result, run_dir = exported
    assert {p.name for p in run_dir.iterdir()} == {
        "trials", "front.csv", "front.json", "front.parquet", "front.png", "front.html",
    }  # fmt: skip
    assert all(path.stat().st_size > 500 for path in result.files.values())


def test_the_tables_agree(exported, tmp_path):
    result, _ = exported
    rows = front_rows(result.front)
    assert pq.read_table(result.files["parquet"]).to_pylist() == rows
    everything = write_front(result.front, tmp_path, all_columns=True)
    for file, columns in ((everything["csv"], list(rows[0])), (result.files["csv"], READABLE)):
        read = list(csv.DictReader(file.open()))
        assert [list(row) for row in read] == [columns] * len(rows)
        assert [float(row["quality"]) for row in read] == [row["quality"] for row in rows]
    assert Front.model_validate(json.loads(result.files["json"].read_text())) == result.front


def test_rows_are_complete_trials_with_flat_recipes(exported):
    result, run_dir = exported
    rows = front_rows(result.front)
    assert [row["number"] for row in rows] == list(range(-1, 12))
    assert set(Recipe.model_fields) < set(rows[0])
    for row in rows:
        assert (run_dir / row["record"]).is_file()
        assert row["quality_low"] <= row["quality"] <= row["quality_high"]
        assert row["n_parallel"] + row["n_mono"] + row["n_replay"] == row["n_examples"]
        assert row["seconds"] == pytest.approx(41.75)
        gain = row["quality"] - rows[0]["quality"]
        assert row["quality_gain"] == pytest.approx(gain)
        assert row["quality_gain_low"] <= row["quality_gain"] <= row["quality_gain_high"]
    assert sum(row["knee"] for row in rows) == 1
    assert all(row["on_front"] for row in rows if row["knee"])


def test_a_score_that_one_trial_lacks_is_empty_there():
    other = Recipe(parallel_size=300)
    more = make_record(3, recipe=other, scores={"chrf.en-uk": make_score(50, 1)})
    rows = front_rows(build_front([make_record(2), more], make_study(), Path("run")))
    assert [row["chrf.en-uk"] for row in rows] == [None, 50]
    assert list(rows[0]) == list(rows[1])


def test_the_export_does_not_depend_on_the_order_of_records():
    records = make_run(10)
    forward = build_front(records, make_study(), Path("run"))
    assert forward == build_front(records[::-1], make_study(), Path("run"))


def test_a_second_export_gives_the_same_bytes(tmp_path):
    run_dir = write_run(tmp_path, make_run(4))
    first = {e: p.read_bytes() for e, p in export_front(run_dir, make_study()).files.items()}
    second = {e: p.read_bytes() for e, p in export_front(run_dir, make_study()).files.items()}
    assert first == second


def test_failed_trials_are_listed_and_do_not_compete():
    front = build_front([make_record(2), make_failed(3)], make_study(), Path("run"))
    assert [p.number for p in front.points] == [2]
    assert front.failed == {3: "TrainError: loss is not finite <at step 12> & no more"}


def test_a_run_without_a_complete_trial_has_no_front(tmp_path):
    with pytest.raises(RunError, match="no trial is complete"):
        export_front(write_run(tmp_path, [make_failed(0)]), make_study())
    assert not list(tmp_path.glob("front*"))


def test_a_damaged_record_stops_the_export(tmp_path):
    run_dir = write_run(tmp_path, make_run(2))
    (run_dir / "trials" / "0002" / "result.json").write_text("{")
    with pytest.raises(RunError, match=r"0002/result\.json"):
        export_front(run_dir, make_study())


def test_a_missing_objective_names_the_trial_and_what_it_has():
    half = make_record(5, objectives={"quality": make_score(0.5)})
    with pytest.raises(RunError, match=r"trial 5 .*'retention'.*\['quality'\]"):
        build_front([make_record(2), half], make_study(), Path("run"))


def test_the_command_survives_a_shell():
    run_dir = Path("my runs/a")
    front = build_front(make_baselines(), make_study(), run_dir)
    words = [shlex.split(point.command) for point in front.points]
    assert words[0] == ["python", "-m", "mtray", "rerun", "my runs/a", "base"]
    assert words[1] == ["python", "-m", "mtray", "rerun", "my runs/a", "0"]


def test_front_knee_and_hypervolume_by_hand():
    exact = {"half": 0.0}
    records = [
        make_record(-1, 0.4, 1.0, "base", **exact),
        make_record(0, 0.6, 0.5, "parallel_only", **exact),
        make_record(2, 0.55, 0.9, **exact),
        make_record(3, 0.5, 0.8, recipe=Recipe(parallel_size=300), **exact),
    ]
    front = build_front(records, make_study(), Path("run"))
    assert front.front == (0, 2, -1)
    assert front.knee == 2
    assert [p.p_front for p in front.points] == [1, 1, 1, 0]
    # the reference: retention 0, and a tenth of the baselines' quality range below the worst of
    # them
    assert [o.reference for o in front.objectives] == pytest.approx([0.38, 0.0])
    assert front.baseline_hypervolume == pytest.approx(0.02 * 1 + 0.2 * 0.5)
    assert front.hypervolume == pytest.approx(0.02 * 1 + 0.15 * 0.9 + 0.05 * 0.5)
    assert [o.spread for o in front.objectives] == pytest.approx([0.2, 0.5])


def test_the_reference_point_stays_while_a_sweep_grows():
    objectives = make_study().objectives
    few, many = make_run(3), make_run(40)
    assert reference_point(few, objectives).tolist() == reference_point(many, objectives).tolist()
    alone = reference_point([make_record(2, 0.5)], {"quality": "max", "retention": "min"})
    assert alone.tolist() == pytest.approx([0.45, 0.88])


@pytest.mark.parametrize("retention, low, high", [(0.7, 0.99, 1.0), (0.99, 0.5, 0.8)])
def test_a_recipe_that_may_keep_all_may_beat_the_base_model(retention, low, high):
    """It translates better; whether the base model is on the front depends on what it keeps."""
    near = make_record(2, 0.7, retention, half=0.05)
    front = build_front([*make_baselines(), near], make_study(), Path("run"))
    assert low < front.point(-1).p_front <= high


def test_notes_tell_what_is_wrong_with_the_numbers():
    notes = " ".join(build_front(make_run(5), make_study(), Path("run")).notes)
    assert "best of 5 recipes" in notes and "independent" in notes
    assert "baselines:" not in notes and "versions" not in notes
    mixed = [make_record(2), make_record(3, versions={"torch": "2.14.0"})]
    front = build_front(mixed, make_study(), Path("run"))
    assert front.versions["torch"] == "2.13.0, 2.14.0"
    assert "different versions of: torch" in " ".join(front.notes)


@pytest.mark.parametrize(
    ("mono", "baselines", "missing"),
    [
        (True, "all", "base, mono_one_to_one, parallel_only"),
        (False, "all", "base, parallel_only"),
        (True, "none", "base"),
        (True, ("mono_one_to_one",), "base, mono_one_to_one"),
    ],
)
def test_only_baselines_that_the_study_has_are_missing(mono, baselines, missing):
    study = make_study(budget=Budget(baselines=baselines))
    if mono:
        text = Source(name="text", kind="mono", path="t.txt", languages=("en",))
        study = study.model_copy(update={"sources": (*study.sources, text)})
    notes = build_front([make_record(2), make_record(3)], study, Path("run")).notes
    assert f"No complete trial of the baselines: {missing}." in notes


def test_baselines_alone_are_compared_with_nothing():
    front = build_front(make_baselines(), make_study(), Path("run"))
    assert front.comparisons == ()
    assert "all points are baselines" in front.notes[0]
    assert front.hypervolume == front.baseline_hypervolume


def test_a_third_objective_to_minimise():
    study = make_study(objectives={"quality": "max", "retention": "max", "off_target": "min"})
    front = build_front(with_third(make_run(10)), study, Path("run"))
    assert front.objectives[2].label == "off_target, lower is better"
    two = build_front(make_run(10), make_study(), Path("run"))
    assert set(two.front) <= set(front.front)
    assert len(front.comparisons[0].gains) == 3


def test_gains_are_positive_where_it_is_better_and_empty_without_the_base_model():
    study = make_study(objectives={"quality": "max", "retention": "min"})
    records = [make_record(-1, 0.42, 0.9, "base"), make_record(2, 0.5, 0.7)]
    row = front_rows(build_front(records, study, Path("run")))[1]
    assert row["quality_gain"] == pytest.approx(0.08)
    assert row["retention_gain"] == pytest.approx(0.2)
    assert row["retention_gain_low"] < 0.2 < row["retention_gain_high"]
    alone = front_rows(build_front(records[1:], study, Path("run")))[0]
    assert alone["quality"] == 0.5
    assert [alone[f"quality_gain{end}"] for end in ("", "_low", "_high")] == [None] * 3


def test_labels_name_measure_and_direction():
    study = make_study()
    assert objective_label("quality", "max", study) == (
        "quality: COMET (mtray-comet-tiny), higher is better"
    )
    assert objective_label("retention.animacy", "max", study).startswith("retention.animacy: share")
    assert objective_label("bleu.en-uk", "max", study) == "bleu.en-uk, higher is better"
    path = study.evaluation.model_copy(update={"comet": "/models/my-comet.ckpt"})
    assert comet_name(study.model_copy(update={"evaluation": path})) == "my-comet"


def test_a_score_of_the_same_name_as_an_objective_is_one_column():
    score = Score(value=0.5, low=0.4, high=0.6, n=9, signature="x")
    record = make_record(2, scores={"quality": score})
    rows = front_rows(build_front([record], make_study(), Path("run")))
    assert rows[0]["quality"] == 0.6


def test_what_a_training_moved_has_columns(tmp_path):
    training = TrainingRecord(
        steps=3, tokens=600, tokens_per_second=9.0, trainable_parameters=200, total_parameters=400,
        accumulated_learning_rate=0.02, precision="fp32", loss=((3, 1.5),),
        tokens_per_parameter=3.0, movement={"block 0": 0.25, "head": 0.5}, mean_difference=2.0,
        forward_kl=0.75,
    )  # fmt: skip
    trained = make_record(1, 0.61, 0.8, training=training)
    half = trained.recipe.model_copy(update={"reversion_alpha": 0.5})
    other = make_record(
        1_000_001, 0.6, 0.9, recipe=half, trained_as=1, training=moved_by(training, 0.5)
    )
    for record in (make_record(-1, 0.5, 1.0, role="base"), trained, other):
        write_record(tmp_path, record)
    export_front(tmp_path, make_study(), all_columns=True)
    rows = {row["number"]: row for row in csv.DictReader((tmp_path / "front.csv").open())}
    names = ("tuned_parameters", "tokens_per_parameter", "accumulated_learning_rate",
             "mean_difference", "forward_kl", "movement.block 0", "movement.head")  # fmt: skip
    found = [rows["1"][name] for name in names]
    assert found == ["200", "3.0", "0.02", "2.0", "0.75", "0.25", "0.5"]
    found = [rows["1000001"][name] for name in names]
    assert found == ["200", "3.0", "0.02", "1.0", "", "0.125", "0.25"]
    assert {rows["-1"][name] for name in names} == {""}
