"""Test segments: where they come from, and that they are touched once."""

import os
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from records_factory import make_record, make_score, make_study

from mtray.commands import held_out_test
from mtray.commands.held_out_test import wanted_trials
from mtray.errors import ConfigError, RunError, WorkerLost
from mtray.evaluation.held_out import has_test, sets_without_test, study_on_test
from mtray.report import held_out_results as report
from mtray.report.bootstrap_draws import write_draws
from mtray.report.export import read_front
from mtray.report.records import read_record, read_records, write_record
from mtray.retrain import recorded_job
from mtray.run_files import result_path
from mtray.schema import Evaluation, Recipe, TrainingRecord
from mtray.search.ledger.run_folder import BoundStudy
from mtray.search.ledger.study_changes import content, study_changes
from mtray.trial.job import Outcome

QUALITY = {"direction": "en-uk", "path": "dev.tsv", "size": 30, "test": {"path": "test.tsv"}}
ABILITY = {
    "measure": "few_shot", "path": "dev.tsv", "direction": "en-es", "shots": 3,
    "shots_path": "shots.tsv", "test": {"path": "test.tsv", "size": 70},
}  # fmt: skip


def study(quality=QUALITY, ability=ABILITY):
    evaluation = Evaluation.model_validate(
        {"comet": "embedded", "quality": [quality], "abilities": {"few": ability}}
    )
    return make_study().model_copy(update={"evaluation": evaluation})


def test_the_test_segments_take_the_place_of_the_others():
    moved = study_on_test(study()).evaluation
    assert moved.quality[0].path == "test.tsv" and moved.quality[0].size == 30
    few = moved.abilities["few"]
    assert (few.path, few.size) == ("test.tsv", 70)
    assert few.model_extra == {"direction": "en-es", "shots": 3, "shots_path": "shots.tsv"}
    assert not few.test and not moved.quality[0].test


def test_every_set_needs_test_segments():
    bare = {k: v for k, v in ABILITY.items() if k != "test"}
    assert has_test(study()) and has_test(study(ability=bare))
    assert sets_without_test(study(ability=bare)) == ["ability few"]
    with pytest.raises(ConfigError, match="no test segments for ability few; give"):
        study_on_test(study(ability=bare))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"path": "dev.tsv"}, "quality en-uk: `test`: these are the segments of the search"),
        ({"size": 20}, "these are the segments of the search"),
        ({"path": "t.tsv", "direction": "uk-en"}, "'direction' cannot differ on test segments"),
        ({"path": "t.tsv", "size": 0}, "size: Input should be greater"),
        ({"path": "t.tsv", "shots": 3}, "shots: Extra inputs"),
    ],
)
def test_mistakes_in_test_segments_are_named(given, message):
    with pytest.raises(ConfigError, match=message):
        study_on_test(study(quality={**QUALITY, "test": given}))


def test_another_split_of_one_folder_is_other_segments():
    flores = {"direction": "en-uk", "path": "flores", "split": "dev", "test": {"split": "devtest"}}
    assert study_on_test(study(quality=flores)).evaluation.quality[0].split == "devtest"


def test_test_segments_may_be_added_to_a_run():
    def given(quality):
        return content(study(quality=quality))

    bare = {k: v for k, v in QUALITY.items() if k != "test"}
    assert study_changes(given(bare), given(QUALITY)) == ()
    (found,) = study_changes(given(bare), given({**QUALITY, "size": 31}))
    assert (found.key, found.before, found.now) == ("study.evaluation.quality.en-uk.size", 30, 31)


def test_a_replicate_is_trained_as_it_was():
    record = make_record(5, seed=8).model_copy(update={"replicate": 2, "of": 3})
    job = recorded_job(record)
    assert (job.number, job.seed, job.replicate, job.of, job.draw.seed) == (5, 8, 2, 3, 6)


@pytest.mark.parametrize("change", [{"reversion_alpha": 0.5}, {"stop_after": 0.25}])
def test_a_further_point_shares_its_training_on_the_test_segments_too(
    tmp_path, monkeypatch, change
):
    old = make_record(1_000_002, recipe=Recipe(parallel_size=9, **change), trained_as=2, seed=1)
    outcome = Outcome([], old.mix, None, {}, {})
    monkeypatch.setattr(held_out_test, "read_outputs", lambda *_: [])
    monkeypatch.setattr(held_out_test, "kept_weights", lambda *_: None)
    monkeypatch.setattr(held_out_test, "recorded_sources", lambda *_: {})
    jobs = []
    monkeypatch.setattr(held_out_test, "train", lambda job, *_: jobs.append(job) or outcome)
    scored = make_record(old.number, recipe=old.recipe)
    monkeypatch.setattr(held_out_test, "record_trial", lambda *_: (scored, {}))
    suite = SimpleNamespace(requests=[], parts=[])
    bench = held_out_test._TestSession(
        tmp_path, tmp_path / "test", make_study(), make_study(), suite, None
    )
    held_out_test._measure_trial(bench, old)
    (job,) = jobs
    assert job.recipe == old.recipe, "trained as far as it was"
    assert read_record(result_path(tmp_path / "test", old.number)).trained_as == 2


TRAINING = TrainingRecord(
    steps=8, tokens=100, tokens_per_second=9.0, trainable_parameters=5, total_parameters=5,
    accumulated_learning_rate=0.1, precision="fp32", loss=((4, 3.0), (8, 2.0)),
)  # fmt: skip
# quality and retention by trial: on dev, on test
VALUES = {
    -1: ((0.50, 1.00), (0.52, 1.00)), 0: ((0.60, 0.70), (0.58, 0.75)),
    1: ((0.55, 0.90), (0.54, 0.95)), 2: ((0.53, 0.60), None), 3: ((0.57, 0.88), (0.55, 0.91)),
}  # fmt: skip
ROLES = {-1: "base", 0: "parallel_only"}


def write_trial(folder, number, values, rng):
    """A record with objectives, and draws about them."""
    objectives = dict(zip(("quality", "retention"), map(make_score, values), strict=True))
    of = {3: {"of": 1, "replicate": 1, "seed": 2}}.get(number, {})
    size = {3: 1}.get(number, number) + 10 if number >= 0 else 0
    record = make_record(number, role=ROLES.get(number, "search")).model_copy(
        update={
            "objectives": objectives,
            "recipe": Recipe(parallel_size=size),
            "seconds": {"training": 9.0, "total": 20.0},
            "training": TRAINING if size else None,
        }
        | {**of}
    )
    write_record(folder, record)
    draws = {n: s.value + 0.01 * rng.standard_normal(200) for n, s in objectives.items()}
    write_draws(folder, number, draws)
    return record


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of five trials, and a way to touch the test segments that is counted."""
    rng = np.random.default_rng(0)
    for number, (dev, _) in VALUES.items():
        write_trial(tmp_path, number, dev, rng)
    bound = study()
    calls = []

    def touch(bench, old):
        calls.append(old.number)
        if len(calls) == fails.get("at"):
            raise RunError("cut off")
        write_trial(bench.folder, old.number, VALUES[old.number][1], rng)

    fails = {}
    run_bound = BoundStudy(bound, None, bound.evaluation)
    monkeypatch.setattr(held_out_test, "read_bound", lambda _: run_bound)
    monkeypatch.setattr(held_out_test, "run_folder", lambda path: path)
    monkeypatch.setattr(held_out_test, "_measure_trial", touch)
    monkeypatch.setattr(
        held_out_test, "in_separate_process", lambda function, *arguments: function(*arguments)
    )
    suite = SimpleNamespace(requests=["a", "b"])
    monkeypatch.setattr(held_out_test, "load_suite", lambda _: (None, suite))
    monkeypatch.setattr("mtray.evaluation.suite.build_suite", lambda *_: suite)
    monkeypatch.setattr("mtray.evaluation.suite.set_lines", lambda _: ["  quality en-uk: 30"])
    return SimpleNamespace(path=tmp_path, calls=calls, fails=fails, bound=bound)


def test_front_and_baselines_are_tested_and_nothing_else(run):
    front = read_front(run.path, run.bound)
    assert front.front == (0, 1, -1)
    assert wanted_trials(front) == [-1, 0, 1, 3]


def test_the_test_segments_are_touched_once(run, capsys):
    run.fails["at"] = 3
    with pytest.raises(RunError, match="cut off"):
        held_out_test.run_test(run.path)
    assert run.calls == [-1, 0, 1] and not (run.path / "test.json").exists()
    assert held_out_test.run_test(run.path) == 0
    assert run.calls == [-1, 0, 1, 1, 3], "what is done is not done again"
    first = capsys.readouterr().out
    assert held_out_test.run_test(run.path) == 0
    assert len(run.calls) == 5
    again = capsys.readouterr().out
    assert "nothing was measured now" in again
    assert again.splitlines()[:8] == first.splitlines()[:8]
    assert "with 4 trials, 3 of them trained again: quality en-uk: 30" in again
    assert "2 requests of the test are also among those of the search" in again


def test_dev_and_test_stand_side_by_side(run, capsys):
    held_out_test.run_test(run.path)
    result = held_out_test.read_result(run.path / "test.json")
    rows = {row.number: row for row in result.rows}
    assert list(rows) == [0, 1, -1]
    assert rows[1].trials == (1, 3)
    quality = rows[1].objectives["quality"]
    assert (quality.dev.value, quality.test.value) == pytest.approx((0.56, 0.545))
    assert quality.dev_gap.value == pytest.approx(0.06)
    assert quality.test_gap.value == pytest.approx(0.025)
    assert quality.test_gap.low < 0.025 < quality.test_gap.high
    assert rows[-1].objectives["quality"].test_gap is None
    table = pq.read_table(run.path / "test.parquet").to_pylist()
    assert [row["number"] for row in table] == [0, 1, -1]
    assert table[1]["quality_test"] == pytest.approx(0.545)
    assert table[1]["quality_test_gap"] == pytest.approx(0.025)
    assert table[2]["retention_test_gap"] is None
    assert "+0.025 [" in capsys.readouterr().out


def test_who_comes_to_the_front_later_is_named(run, capsys):
    held_out_test.run_test(run.path)
    write_trial(run.path, 7, (0.9, 0.99), np.random.default_rng(1))
    held_out_test.run_test(run.path)
    assert "trials 7 have joined the front since then and are not tested" in capsys.readouterr().out
    assert 7 not in run.calls


def test_a_training_that_ended_elsewhere_is_said(run):
    held_out_test.run_test(run.path)
    recorded = read_records(run.path).sound()
    tested = list(read_records(run.path / "test").sound())
    before = held_out_test._notes(recorded, tested, 0)
    assert not any("ended at a loss" in note for note in before)
    training = tested[1].training
    moved = training.model_copy(update={"loss": ((training.steps, training.loss[-1][1] * 1.02),)})
    tested[1] = tested[1].model_copy(update={"training": moved})
    notes = held_out_test._notes(recorded, tested, 0)
    assert len(notes) == len(before) + 1
    assert "trial 0: the training ended at a loss of" in notes[-1]


def test_records_without_digests_are_said_once(run):
    held_out_test.run_test(run.path)
    result = held_out_test.read_result(run.path / "test.json")
    found = [note for note in result.notes if "without digests" in note]
    assert found == [
        "trials 0, 1, 3: the record is of an older version, without digests of the draw, so "
        "only the counts of parallel were compared"
    ]


# by ability: retention and half of its interval
SHARES = {"few": (0.9, 0.05), "icl": (0.7, 0.1)}
LACK = "the base model's 1 is not above the floor 1"
BOTH = (
    "note: Retention on dev and on test average different abilities and are not comparable: on dev "
    f"it is the weighted mean over few, icl; on test it is the weighted mean over few, without "
    f"icl, since {LACK}.",
    "note: `retention.common` is the weighted mean over the abilities that both have: few.",
)


def give_abilities(folder, number, names):
    """The trial's record with the retention of these abilities; the others are left out."""
    (old,) = (r for r in read_records(folder).sound() if r.number == number)
    shares = {n: (1.0, 0.0) if number < 0 else SHARES[n] for n in names}
    scores = {f"retention.{n}": make_score(*share) for n, share in shares.items()}
    left_out = {n: LACK for n in SHARES if n not in names}
    write_record(folder, old.model_copy(update={"scores": scores, "extra": {"left_out": left_out}}))


@pytest.fixture
def two_abilities(run, monkeypatch):
    """The run, whose study has two abilities, both of which the base model has on dev."""
    ability = run.bound.evaluation.abilities["few"]
    both = {"few": ability, "icl": ability.model_copy(update={"weight": 3.0})}
    evaluation = run.bound.evaluation.model_copy(update={"abilities": both})
    study = run.bound.model_copy(update={"evaluation": evaluation})
    monkeypatch.setattr(held_out_test, "read_bound", lambda _: BoundStudy(study, None, evaluation))
    for number in VALUES:
        give_abilities(run.path, number, ("few", "icl"))
    touch = held_out_test._measure_trial

    def test_of(names):
        def touched(bench, old):
            touch(bench, old)
            give_abilities(bench.folder, old.number, names)

        monkeypatch.setattr(held_out_test, "_measure_trial", touched)
        held_out_test.run_test(run.path)
        return held_out_test.read_result(run.path / "test.json")

    return test_of


def test_dev_and_test_of_other_abilities_are_said_and_compared(two_abilities, run, capsys):
    result = two_abilities(("few",))
    out = capsys.readouterr().out
    assert all(out.count(sentence) == 1 for sentence in BOTH)
    assert "retention.common, dev" in out
    sides = {side: [s.kept for s in sets] for side, sets in result.abilities.items()}
    assert sides == {"dev": [("few", "icl")], "test": [("few",)]}
    assert result.abilities["test"][0].left_out == {"icl": LACK}
    assert result.objectives == ("quality", "retention")
    rows = {row.number: row.objectives["retention.common"] for row in result.rows}
    for found in (rows[0].dev, rows[0].test):
        assert found.value == pytest.approx(0.9)
        assert found.low < 0.8501 and found.high > 0.9499, "that of the segments, at least"
    gap, own = rows[0].test_gap, rows[0].test
    expected = (own.value - 1, own.low - 1, own.high - 1)
    assert (gap.value, gap.low, gap.high) == pytest.approx(expected)
    assert rows[-1].dev.value == 1.0 and rows[-1].test_gap is None
    table = {row["number"]: row for row in pq.read_table(run.path / "test.parquet").to_pylist()}
    assert table[0]["retention.common_test"] == pytest.approx(0.9)
    assert table[0]["retention.common_dev_gap"] == pytest.approx(-0.1)
    assert table[-1]["retention.common_dev_gap"] is None
    held_out_test.run_test(run.path)
    assert all(sentence in capsys.readouterr().out for sentence in BOTH[:1]), "said again"


def test_without_an_ability_in_common_nothing_is_averaged(two_abilities, run, capsys):
    for number in VALUES:
        give_abilities(run.path, number, ("icl",))
    result = two_abilities(("few",))
    assert "No ability is in both, so there is no comparable retention." in result.notes
    assert {name for row in result.rows for name in row.objectives} == {"quality", "retention"}
    assert "retention.common" not in capsys.readouterr().out


def test_the_same_abilities_on_both_are_no_news(two_abilities):
    result = two_abilities(("few", "icl"))
    assert not [note for note in result.notes if "Retention" in note]
    assert "retention.common" not in result.rows[0].objectives


def test_what_both_leave_out_is_said_once(two_abilities, run):
    for number in VALUES:
        give_abilities(run.path, number, ("few",))
    notes = [note for note in two_abilities(("few",)).notes if "etention" in note]
    assert notes == [
        f"Retention is the weighted mean over 1 of 2 abilities: few. Left out: icl, since {LACK}."
    ]


def test_common_retention_has_the_interval_of_the_draws_that_were_kept(tmp_path):
    folders, line = (tmp_path / "dev", tmp_path / "test"), np.linspace(0, 1, 1001)
    for folder, names in zip(folders, (("few", "icl"), ("few",)), strict=True):
        write_record(folder, make_record(0))
        give_abilities(folder, 0, names)
        write_draws(folder, 0, {f"retention.{name}": line for name in names})
    dev, test = (read_records(folder).sound() for folder in folders)
    found = report.compared(dev, test, {"few": 1.0, "icl": 3.0}, folders)
    for (record,) in (found.dev, found.test):
        score = record.scores["retention.common"]
        assert (score.value, score.low, score.high) == pytest.approx((0.9, 0.025, 0.975))


def refuse(text):
    raise RunError(text)


def test_a_trial_runs_in_a_process_of_its_own(tmp_path):
    held_out_test.in_separate_process(os.mkdir, tmp_path / "made")
    assert (tmp_path / "made").is_dir()
    with pytest.raises(RunError, match="no such thing"):
        held_out_test.in_separate_process(refuse, "no such thing")
    with pytest.raises(WorkerLost, match="the same command continues"):
        held_out_test.in_separate_process(os.abort)


def test_a_damaged_result_is_named(tmp_path):
    (tmp_path / "test.json").write_text("{")
    with pytest.raises(RunError, match=r"test\.json: cannot be read"):
        held_out_test.read_result(tmp_path / "test.json")
    assert report.gap_text(None) == "-"
