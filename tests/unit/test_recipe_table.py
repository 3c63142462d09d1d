"""The recipe table: its plan, the trials that are kept, the scores made of them, and what is said
of them."""

import fcntl
import json
from dataclasses import replace

import numpy as np
import pytest
import table_factory
from table_factory import LengthComet, answers, prepared

from mtray.data.store_usage import locked
from mtray.errors import ConfigError, LossNotFinite, RunError
from mtray.sweep_command import arguments, load

# after table_factory, which knows where they lie
import recipe_table  # isort: skip
from table_plan import plan  # isort: skip
from table_evidence import evidence_of  # isort: skip
from table_scores import Scorer, base_outputs, fixed_columns, variance, write_table  # isort: skip
from table_scores import reduce_factors  # isort: skip
from table_summary import groups, lines, read_table, seeds_of  # isort: skip
from table_trials import Clock, read_trial, read_trials, train  # isort: skip

BASELINES = 4
# the first point: pairs, frozen blocks, mono, replay, learning rate
FIRST = (3889, 4, 0.379844, 0.245816, 0.000106768)


@pytest.fixture(scope="module")
def jobs():
    """The plan of the default study."""
    return plan(*load(arguments([])))


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A small study whose trials are made up."""
    monkeypatch.setattr("mtray.trial.run.run_trial", table_factory.run_trial)
    return prepared(tmp_path)


def scorer(small, work):
    base = base_outputs(read_trials(work), small.suite)
    return Scorer(small.study, small.suite, base, lambda name: LengthComet())


def test_the_plan_is_fixed_and_has_what_it_promises(jobs):
    assert [job.number for job in jobs] == list(range(-1, len(jobs) - 1))
    assert len(jobs) == 425
    assert [(j.role, j.replicate) for j in jobs[: BASELINES + 2]] == [
        ("base", 0), ("parallel_only", 0), ("mono_one_to_one", 0), ("mono_two_to_one", 0),
        ("uniform", 0), ("parallel_only", 1),
    ]  # fmt: skip
    # another number here is another table
    first = next(job.recipe for job in jobs if job.role == "search")
    assert (first.parallel_size, first.frozen_layers) == FIRST[:2]
    assert (first.mono_ratio, first.replay_fraction, first.learning_rate) == pytest.approx(
        FIRST[2:], rel=1e-5
    )
    firsts = {job.recipe for job in jobs if not job.replicate and job.role != "base"}
    assert len(firsts) == 320 + BASELINES
    counts = [sum(job.replicate == k for job in jobs) for k in (1, 2)]
    assert counts == [80 + BASELINES, 12 + BASELINES]


def test_a_repeat_is_of_an_earlier_trial_with_a_seed_and_a_draw_of_its_own(jobs):
    by_number = {job.number: job for job in jobs}
    repeats = [job for job in jobs if job.replicate]
    for job in repeats:
        first = by_number[job.of]
        assert first.number < job.number and not first.replicate
        assert (first.recipe, first.role) == (job.recipe, job.role)
        assert job.seed == first.seed + job.replicate
        assert (job.draw.seed, job.draw.replicate) == (first.seed, job.replicate)
    assert len({(job.of, job.replicate) for job in repeats}) == len(repeats)
    assert all(job.draw.replicate == 0 for job in jobs if not job.replicate)


def test_every_beginning_of_the_plan_is_a_useful_table(jobs):
    baselines = 1 + 2 * BASELINES
    for end in range(baselines, len(jobs) + 1):
        points = sum(j.role == "search" and not j.replicate for j in jobs[:end])
        second = sum(j.role == "search" and j.replicate == 1 for j in jobs[:end])
        assert points // 4 - 1 <= second <= -(-points // 4), end
    space = load(arguments([]))[1]
    for end in (60, 120, len(jobs)):
        for repeated in (False, True):
            sizes = [
                job.recipe.parallel_size for job in jobs[:end]
                if job.role == "search" and bool(job.replicate) == repeated
            ]  # fmt: skip
            size = space.parameters["parallel_size"]
            middle = (size.low * size.high) ** 0.5
            assert 0.25 < np.mean(np.array(sizes) < middle) < 0.75, "all of the range"
    fewer = plan(*load(arguments([])), points=40)
    assert fewer == jobs[: len(fewer)] and len(fewer) == 1 + 3 * BASELINES + 40 + 10 + 2


def test_training_goes_on_where_it_was_stopped(small, tmp_path, monkeypatch):
    work, seen = tmp_path / "work", []

    def once(job, *rest):
        seen.append(job.number)
        if job.number == 2:
            raise KeyboardInterrupt
        return table_factory.run_trial(job, *rest)

    monkeypatch.setattr("mtray.trial.run.run_trial", once)
    with pytest.raises(KeyboardInterrupt):
        train(small, work, until=5)
    assert [kept.job.number for kept in read_trials(work)] == [-1, 0, 1]
    # killed while it wrote
    (work / "2" / "job.json").write_text("{")
    (work / "2" / ".outputs.parquet.1.ab.tmp").write_text("half")
    before = (work / "1" / "trial.json").read_bytes()
    monkeypatch.setattr("mtray.trial.run.run_trial", table_factory.run_trial)
    assert train(small, work, until=5) == 2
    assert [kept.job.number for kept in read_trials(work)] == [-1, 0, 1, 2, 3]
    assert seen == [-1, 0, 1, 2] and (work / "1" / "trial.json").read_bytes() == before
    assert not list((work / "2").glob(".*"))
    assert train(small, work, until=5) == 0


def test_two_processes_share_a_folder_and_none_begins_after_its_time(small, tmp_path):
    work = tmp_path / "work"
    assert train(small, work, minutes=0) == 0 and not read_trials(work)
    (work / "0").mkdir()
    with locked(work / "0" / "lock", fcntl.LOCK_EX):
        assert train(small, work, until=3) == 2
        assert [kept.job.number for kept in read_trials(work)] == [-1, 1]
    assert train(small, work, until=3) == 1


def test_what_a_table_has_is_not_trained_again(small, tmp_path):
    work = tmp_path / "work"
    assert train(small, work, until=5, known={-1, 0, 2}) == 3
    assert [kept.job.number for kept in read_trials(work)] == [-1, 1, 3], "and the base model's"


def test_a_folder_is_of_one_plan(small, tmp_path):
    work = tmp_path / "work"
    train(small, work, until=1)
    other = small.study.model_copy(
        update={"training": small.study.training.model_copy(update={"epochs": 2})}
    )
    with pytest.raises(ConfigError, match=r"plan\.json: training is .* give another --work"):
        train(replace(small, study=other), work, until=1)
    with pytest.raises(ConfigError, match="jobs is"):
        train(replace(small, study=small.study.model_copy(update={"seed": 5})), work, until=1)
    with pytest.raises(RunError, match=r"train first"):
        read_trials(tmp_path / "other")


def test_a_trial_that_is_kept_is_read_as_it_was(small, tmp_path):
    work = tmp_path / "work"
    train(small, work, until=2)
    kept = read_trial(work / "0")
    assert kept.job == replace(kept.job, number=0, role="parallel_only", seed=1, of=None)
    assert kept.job.recipe.parallel_size == 4096 and kept.reason is None
    assert [(r["rung"], r["step"], r["seconds"]) for r in kept.rungs] == [(0, 1, 0.5), (1, 2, 0.5)]
    assert kept.training.loss == ((2, 3.0), (4, 2.5)) and kept.mix.tokens == 800
    assert set(kept.cpu) == {"loading", "training", "rung1", "rung2", "evaluating", "total"}
    assert kept.code and kept.machine and kept.threads >= 1 and kept.versions == {"mtray": "0"}
    (work / "0" / "trial.json").write_text("{}")
    with pytest.raises(RunError, match=r"not a readable trial.*delete .*trial\.json"):
        read_trials(work)


def test_a_recipe_that_fails_is_a_row_without_numbers(small, tmp_path, monkeypatch):
    def fails(job, *rest):
        if job.number == 1:
            raise LossNotFinite("the training loss is nan at step 2 of 4")
        return table_factory.run_trial(job, *rest)

    monkeypatch.setattr("mtray.trial.run.run_trial", fails)
    work = tmp_path / "work"
    assert train(small, work, until=3) == 3
    kept = read_trial(work / "1")
    row = fixed_columns(kept) | scorer(small, work).columns(kept)
    assert row["state"] == "failed" and "quality" not in row
    assert row["reason"] == "LossNotFinite: the training loss is nan at step 2 of 4"
    assert [r["number"] for g in groups(rows_of(small, work)) for r in g] == [0]


def rows_of(small, work):
    found = scorer(small, work)
    return [fixed_columns(kept) | found.columns(kept) for kept in read_trials(work)]


def test_scores_are_those_of_the_suite_and_of_the_kept_files_alone(small, tmp_path):
    work = tmp_path / "work"
    train(small, work, until=4)
    rows = rows_of(small, work)
    assert rows == rows_of(small, work)
    base, first = rows[0], rows[1]
    kept = read_trial(work / "0")
    suite, part = small.suite, small.suite.part(0.25)
    before = read_trial(work / "base").job
    for stage, measured, of in (("", suite, 1.0), ("rung1/", part, 0.25), ("rung2/", part, 0.5)):
        expected = measured.score(
            answers(kept.job, measured.requests, of), scorer_base(stage, small, before), 100, 1,
            lambda name: LengthComet(),
        )  # fmt: skip
        for name, score in {**expected.objectives, **expected.scores}.items():
            if f"{stage}{name}" in first:
                found = [first[f"{stage}{name}{end}"] for end in ("", "/low", "/high")]
                assert found == [score.value, score.low, score.high], (stage, name)
        for name in ("quality", "retention", "spanish", "modelling", "retention.worst"):
            assert f"{stage}{name}/variance" in first, name
        drawn = expected.draws["quality"]
        assert first[f"{stage}quality/variance"] == pytest.approx(np.var(drawn, ddof=1))
        both = np.cov(drawn, expected.draws["retention"])[0, 1]
        assert first[f"{stage}covariance/quality/retention"] == pytest.approx(both)
    for name in ("chrf.en-uk", "bleu.en-uk", "failures.any.en-uk", "retention.modelling"):
        assert name in first
    # the base model is nothing but itself
    assert base["retention"] == base["rung1/retention"] == 1 and base["quality/paired"] == 0
    assert base["rung1/quality"] == base["rung2/quality"]
    assert "rung1/step" not in base and (first["rung1/step"], first["rung2/step"]) == (1, 2)


def scorer_base(stage, small, job):
    """The base model's outputs of what a stage asks."""
    outputs = answers(job, small.suite.requests)
    return small.suite.outputs_of(small.suite.part(0.25), outputs) if stage else outputs


def test_a_table_says_what_its_scores_are(small, tmp_path):
    work = tmp_path / "work"
    train(small, work, until=1)
    about = scorer(small, work).about()
    assert about["signatures"]["retention"].startswith("(s-c)/(b-c)|most:1.5|mean")
    assert about["segments"]["end"]["quality"] == 40 and about["segments"]["rung"]["quality"] == 10
    assert list(about["left_out"]) == ["spanish"], "of which the base model has nothing"


def test_the_paired_variance_is_that_of_the_difference(small, tmp_path):
    work = tmp_path / "work"
    train(small, work, until=2)
    row = rows_of(small, work)[1]
    # every answer is longer by the same, so nothing of the difference depends on the segments
    assert row["quality/variance"] > 1e-8 and row["quality/paired"] == pytest.approx(0, abs=1e-20)
    assert variance(np.array([1.0, 3.0, np.nan])) == 2.0


def test_factors_have_the_covariances_of_the_differences(small, tmp_path):
    work = tmp_path / "work"
    train(small, work, until=4)
    rows, base = rows_of(small, work), scorer(small, work).end(read_trial(work / "base"))
    found = [scorer(small, work).end(kept) for kept in read_trials(work)]
    apart = [drawn["retention"].draws - base["retention"].draws for drawn in found]
    reduce_factors(rows)
    factors = np.array([row["retention/factors"] for row in rows])
    assert factors @ factors.T == pytest.approx(np.cov(apart), abs=1e-12)
    assert factors[0] == pytest.approx(0, abs=1e-12), "the base model is nothing but itself"
    reduce_factors(rows, 1)
    fewer = np.array([row["retention/factors"] for row in rows])
    assert fewer.shape == (4, 1)
    whole = np.linalg.eigvalsh(np.cov(apart))
    assert float((fewer**2).sum()) == pytest.approx(whole[-1]), "the greatest part of it"


def test_evidence_has_the_table_s_covariances(table):
    """Of two recipes with factors (3, 0) and (1, 2), and 16 and 9 in all: covariances 9 + 7, 3 and
    5 + 4, and what seeds add to each."""
    _, rows, _ = table
    one, other = [dict(row) for row in rows if row["role"] == "search"][:2]
    for row, factors, paired in ((one, [3.0, 0.0], 16.0), (other, [1.0, 2.0], 9.0)):
        row |= {"quality/factors": factors, "quality/paired": paired}
    found = evidence_of(rows, [[one], [other]]).covariance("quality")
    beyond = seeds_of(groups(rows), "quality").beyond ** 2
    assert found == pytest.approx(np.array([[16, 3], [3, 9]]) + beyond * np.eye(2), abs=1)
    del one["quality/factors"]
    with pytest.raises(ConfigError, match="has no `quality/factors` in the table"):
        evidence_of(rows, [[one]])


def test_outputs_of_other_requests_are_refused(small, tmp_path):
    work = tmp_path / "work"
    train(small, work, until=2)
    smaller = replace(small, suite=replace(small.suite, abilities=small.suite.abilities[:1]))
    with pytest.raises(RunError, match="outputs, but the study asks"):
        scorer(smaller, work)
    (work / "base" / "trial.json").unlink()
    with pytest.raises(RunError, match="train first, which begins with it"):
        scorer(small, work)


def test_the_processor_s_seconds_are_told_apart_by_what_a_trial_is_at(monkeypatch):
    times = iter([0.0, 1.0, 3.0, 7.0, 8.0, 18.0])
    monkeypatch.setattr("time.process_time", lambda: next(times))
    clock = Clock()
    for state in ("loading", "training", "measuring at rung 1", "training"):
        clock.progress({"state": state})
        clock.progress({"step": 1})
    assert clock.stop() == {"loading": 3.0, "training": 14.0, "rung1": 1.0, "total": 18.0}


@pytest.fixture
def table(small, tmp_path):
    """Six trials: the base model, one baseline with a second seed, and points."""
    work = tmp_path / "work"
    train(small, work, until=6)
    rows = rows_of(small, work)
    reduce_factors(rows)
    about = {"plan": {"trials": len(plan(small.study, small.space))}, "space": json.dumps({})}
    write_table(tmp_path / "table.parquet", rows, about)
    return tmp_path / "table.parquet", rows, about


def test_a_table_is_read_as_it_was_written(table):
    path, rows, about = table
    found, said = read_table(path)
    assert said == about and len(found) == len(rows)
    for row, read in zip(rows, found, strict=True):
        for name, value in read.items():
            wanted = row.get(name)
            exact = name.startswith("recipe.") or not isinstance(wanted, float | list)
            assert value == (wanted if exact else pytest.approx(wanted, rel=1e-6)), name
    path.write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match="not a recipe table"):
        read_table(path)
    with pytest.raises(ConfigError, match="there is no such file"):
        read_table(path.with_name("none.parquet"))


def test_rows_of_other_folders_stay_in_the_table(table):
    path, rows, about = table
    numbers = {row["number"] for row in rows}
    kept = recipe_table.rows_to_keep(path, {-1, 0}, about)
    assert {row["number"] for row in kept} == numbers - {-1, 0}
    assert not any(name.endswith("/factors") for row in kept for name in row)
    assert recipe_table.rows_to_keep(path.with_name("none.parquet"), set(), about) == []
    other = about | {"plan": {"trials": 1}}
    assert recipe_table.rows_to_keep(path, numbers, other) == [], "all are scored anew"
    with pytest.raises(ConfigError, match="have other `plan`"):
        recipe_table.rows_to_keep(path, {-1, 0}, other)


def test_the_whole_table_is_small(table, tmp_path):
    _, rows, about = table
    rng, many = np.random.default_rng(1), []
    for number in range(425):
        scores = {
            f"made-up-{i}": float(v) for i, v in enumerate(rng.standard_normal(300))
        }  # as many as the default study has
        many.append({**rows[1], "number": number, **scores})
    assert write_table(tmp_path / "large.parquet", many, about) < recipe_table.MOST_BYTES


def test_what_is_shown_of_seeds_is_pooled(table):
    _, rows, about = table
    grouped = groups(rows)
    assert [[row["replicate"] for row in group] for group in grouped] == [[0, 1], [0], [0], [0]]
    pair = [row["quality"] for row in grouped[0]]
    found = seeds_of(grouped, "quality")
    assert found.freedom == 1
    assert found.deviation == pytest.approx(abs(pair[0] - pair[1]) / np.sqrt(2))
    errors = [np.sqrt(row["quality/variance"]) for group in grouped for row in group]
    assert found.error == pytest.approx(np.median(errors))
    text = "\n".join(lines(rows, about))
    assert "6 trials of" in text and "1 with 2" in text
    assert f"| quality | {rows[0]['quality']:.4f} |" in text and "| parallel_size" in text
    with pytest.raises(ConfigError, match="no complete trial"):
        lines(rows[:1], about)


def test_the_command_names_what_is_missing(tmp_path, capsys):
    assert recipe_table.main(["show", "--table", str(tmp_path / "none.parquet")]) == 2
    assert "there is no such file" in capsys.readouterr().err
    assert recipe_table.main(["score", "--work", str(tmp_path / "none")]) == 2
    assert "train first" in capsys.readouterr().err
