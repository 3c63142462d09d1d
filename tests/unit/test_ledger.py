"""The ledger, with a tabulated objective in the place of training."""

import time

import optuna
import pytest
from ledger_factory import (
    REFERENCES,
    SOURCES,
    SPACE,
    ledger_in,
    measured,
    run,
    states_in,
    study_of,
    trials_in,
    write,
)
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from records_factory import make_failed, make_record, make_score

from mtray.data.mixing import plan
from mtray.errors import ConfigError
from mtray.report.records import write_record
from mtray.run_files import result_path
from mtray.schema import Budget, Recipe, Source, Training
from mtray.search.ledger.ledger import Ledger
from mtray.search.strategy.baseline_recipes import baseline_recipes
from mtray.search.strategy.samplers import NAMES, STARTUP, check_sampler, space_filling
from mtray.search_space.parameters import Choices, FloatRange, IntRange
from mtray.search_space.space import Space
from mtray.search_space.unit_cube import at_quantile
from mtray.trial.job import base_job


def test_references_come_first_then_sobol_then_the_sampler(tmp_path):
    jobs = run(tmp_path, 10)
    assert [j.number for j in jobs] == list(range(10))
    assert [j.role for j in jobs] == [*REFERENCES, *["search"] * 6]
    fixed = {"parallel_size": 8192, "learning_rate": 0.001}
    assert jobs[0].recipe == Recipe(mono_ratio=0.0, **fixed)
    assert jobs[1].recipe == Recipe(mono_ratio=1.0, **fixed)
    assert jobs[2].recipe == Recipe(mono_ratio=2.0, **fixed)
    half = {**fixed, "parallel_size": 4096}
    assert jobs[3].recipe == Recipe(mono_ratio=1.0, **half)
    points = space_filling(SPACE.distributions(), STARTUP, seed=1)
    assert [j.recipe for j in jobs[4 : 4 + STARTUP]] == [SPACE.recipe(p) for p in points]
    assert len({j.recipe for j in jobs}) == 10
    assert {j.seed for j in jobs} == {1}
    assert run(tmp_path / "..", 1, seed=5)[0].seed == 5


def test_the_base_model_is_no_trial_of_the_study(tmp_path):
    ledger = ledger_in(tmp_path)
    job = base_job(study_of())
    assert (job.number, job.role, job.recipe.parallel_size) == (-1, "base", 0)
    assert ledger.needs_base()
    write(tmp_path, job)
    assert not ledger.needs_base()
    assert ledger.tell(-1) is None
    assert ledger.finished == 0


@pytest.mark.parametrize("sampler", NAMES)
def test_a_resumed_sweep_asks_for_the_same_recipes(tmp_path, sampler):
    """Reopened after every trial, and before each is told: what is not in the journal is lost."""
    through, resumed = tmp_path / "through", tmp_path / "resumed"
    for folder in (through, resumed):
        folder.mkdir()
    # with 8 trials in line at the start, and a slow Gaussian process
    total = 9 if sampler == "gp" else 12
    expected = run(through, total, sampler=sampler)
    assert run(resumed, total, reopen=True, sampler=sampler) == expected
    assert [t.values for t in trials_in(through)] == [t.values for t in trials_in(resumed)]


def test_the_suggestions_hang_on_the_seed(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    one, other = run(tmp_path / "a", 9), run(tmp_path / "b", 9, seed=2)
    assert one[0].recipe == other[0].recipe, "the references do not"
    assert all(a.recipe != b.recipe for a, b in zip(one[4:], other[4:], strict=True))


def test_an_interrupted_trial_comes_again_under_its_number(tmp_path):
    ledger = ledger_in(tmp_path)
    jobs = [ledger.next(10) for _ in range(9)]
    for job in jobs[:8]:
        if job.number != 3:
            write(tmp_path, job)
            ledger.tell(job.number)
    assert ledger.running_numbers() == [3, 8] and ledger.running == 2
    # the process dies; 3 and 8, the sampler's own, left no record
    ledger = ledger_in(tmp_path)
    assert ledger.running == 0 and ledger.finished == 7
    assert [ledger.next(10), ledger.next(10)] == [jobs[3], jobs[8]]
    assert ledger.next(10).number == 9


def test_a_trial_that_was_given_back_comes_again_under_its_number(tmp_path):
    ledger = ledger_in(tmp_path)
    job = ledger.next(4)
    ledger.give_back(job.number)
    assert ledger.running == 0
    assert ledger_in(tmp_path).next(4) == job


@pytest.mark.parametrize("stored", ["nothing", "no parameter"])
def test_a_trial_cut_off_while_it_was_suggested_is_completed_alike(tmp_path, monkeypatch, stored):
    """Killed between putting the suggestion in line, making the trial and storing its
    parameters."""
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    expected = run(tmp_path / "a", 10)
    ledger = ledger_in(tmp_path / "b")
    for _ in range(8):
        job = ledger.next(10)
        write(tmp_path / "b", job)
        ledger.tell(job.number)
    ask = optuna.Study.ask

    def killed(self, *_):
        if stored == "no parameter":
            ask(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        # the mirror's study must go on asking, only the run's own is cut off
        patch.setattr(ledger._study._study, "ask", killed.__get__(ledger._study._study))
        ledger.next(10)
    ledger = ledger_in(tmp_path / "b")
    assert [ledger.next(10), ledger.next(10)] == expected[8:]


def test_a_result_that_was_written_but_not_told_is_told(tmp_path):
    ledger = ledger_in(tmp_path)
    job = ledger.next(10)
    write(tmp_path, job)
    assert states_in(tmp_path)[0] == TrialState.RUNNING
    assert ledger_in(tmp_path).finished == 1
    assert trials_in(tmp_path)[0].values == pytest.approx(measured(job))


def test_a_stop_that_comes_after_the_record_loses_nothing(tmp_path):
    ledger = ledger_in(tmp_path)
    job = ledger.next(10)
    write(tmp_path, job)
    ledger.give_back(job.number)
    assert ledger.finished == 1 and states_in(tmp_path)[0] == TrialState.COMPLETE


def test_a_base_model_that_failed_is_measured_again_at_the_next_start(tmp_path):
    ledger = ledger_in(tmp_path)
    path = write_record(tmp_path, make_failed(-1))
    assert not ledger.needs_base(), "not within the same start"
    assert ledger_in(tmp_path).needs_base() and not path.exists()


def test_a_failed_record_is_told_as_a_failure_with_its_reason(tmp_path):
    ledger = ledger_in(tmp_path)
    first, second = ledger.next(10), ledger.next(10)
    write_record(tmp_path, make_failed(first.number))
    assert ledger.tell(first.number).state == "failed"
    ledger.tell(second.number)
    one, other = trials_in(tmp_path)[:2]
    assert one.state == other.state == TrialState.FAIL
    assert one.values is None
    assert one.user_attrs["reason"] == make_failed(0).reason
    assert "without a record" in other.user_attrs["reason"]
    # it counts, and is not run again
    assert ledger.finished == 2
    assert ledger_in(tmp_path).next(10).number == 2
    assert ledger.all_failed(2) and not ledger.all_failed(3)
    third = ledger.next(10)
    write(tmp_path, third)
    ledger.tell(third.number)
    assert not ledger.all_failed(3)


def test_a_lost_trial_comes_again_twice_and_a_restart_remembers(tmp_path):
    ledger = ledger_in(tmp_path)
    job = ledger.next(4)
    assert ledger.lose(job.number, "worker_lost", "killed")
    assert ledger.running == 0
    ledger = ledger_in(tmp_path)
    again = ledger.next(4)
    assert (again.number, again.recipe) == (job.number, job.recipe)
    assert [a["reason_class"] for a in again.attempts] == ["worker_lost"]
    assert ledger.lose(job.number, "node_lost", "gone")
    ledger = ledger_in(tmp_path)
    assert [a["reason"] for a in ledger.next(4).attempts] == ["killed", "gone"]
    assert not ledger.lose(job.number, "worker_lost", "killed")
    assert ledger.running_numbers() == [job.number], "its failure is told from a record"


def test_a_trial_that_machines_took_away_runs_once_more_with_the_next_start(tmp_path):
    """A baseline would be missing from the run for good."""
    run(tmp_path, 1, leave=write)
    ledger = ledger_in(tmp_path)
    job = ledger.next(4)
    lost = make_failed(job.number).model_copy(update={"reason_class": "node_lost"})
    write_record(tmp_path, lost)
    ledger.tell(job.number)
    assert ledger.finished == 2
    for _ in range(2):  # the second start adds no other one
        ledger = ledger_in(tmp_path)
        assert ledger.finished == 1, "it is not counted twice"
    jobs = []
    while (found := ledger.next(24)) is not None:
        jobs.append(found)
        write(tmp_path, found)
        ledger.tell(found.number)
    (again,) = [j for j in jobs if j.recipe == job.recipe and not j.replicate]
    assert again.number > job.number and again.role == job.role != "search"
    assert ledger.finished == ledger.completed == 24
    notes = trials_in(tmp_path)[again.number].user_attrs
    assert notes["instead_of"] == job.number and "reason_class" not in notes
    assert ledger_in(tmp_path).finished == 24


def test_a_trial_with_progress_since_its_last_loss_may_be_lost_again(tmp_path, monkeypatch):
    """A checkpoint moves on, for some losses; three at the same step are the end of it."""
    steps = iter([10, 20, 30, 40, 40, 40])
    monkeypatch.setattr("mtray.search.ledger.trial_scratch.last_step", lambda folder: next(steps))
    ledger = ledger_in(tmp_path)
    found = [ledger.lose(ledger.next(4).number, "node_lost", "gone") for _ in range(5)]
    assert found == [True] * 5 and not ledger.lose(ledger.next(4).number, "node_lost", "gone")


def test_a_failure_is_told_with_its_class(tmp_path):
    ledger = ledger_in(tmp_path)
    job = ledger.next(4)
    refused = {"state": "infeasible", "reason_class": "data_error"}
    write_record(tmp_path, make_failed(job.number).model_copy(update=refused))
    ledger.tell(job.number)
    trial = trials_in(tmp_path)[job.number]
    assert trial.state == TrialState.FAIL and trial.values is None
    assert {name: trial.user_attrs[name] for name in refused} == refused


def test_an_infeasible_trial_is_told_with_its_values_and_how_far_it_is_beyond(tmp_path):
    ledger = ledger_in(tmp_path)
    for _ in range(4):
        job = ledger.next(4)
        found = make_record(job.number, 0.6, 0.8, job.role, recipe=job.recipe)
        changes = {
            "state": "infeasible", "constraints": {"formality": 0.19},
            "seconds": {"training": 20.0, "waiting": 500.0, "lost": 6.0, "total": 30.0},
        }  # fmt: skip
        write_record(tmp_path, found.model_copy(update=changes))
        ledger.tell(job.number)
    trial = trials_in(tmp_path)[3]
    assert trial.state == TrialState.COMPLETE and trial.values == [0.6, 0.8]
    assert trial.constraints == {"formality": 0.19, "0": 0.19}, "as its dashboard needs it, too"
    for known in (ledger, ledger_in(tmp_path)):
        told = known._suggester._points[3][2]
        assert told.over == {"formality": 0.19}
        assert told.cost == 24, "neither what it waited nor what a failed attempt took"
    assert not ledger._repeats._race.pick(trials_in(tmp_path)), "nothing feasible to repeat"


@pytest.mark.parametrize("sampler", ["random", "sobol"])
def test_recipes_over_a_source_s_cap_on_repeats_are_never_asked_for(tmp_path, sampler):
    sources = [*SOURCES, Source(name="replayed", kind="replay", path="r.jsonl")]
    held = {source.name: 1500 for source in sources}
    capped = [s.model_copy(update={"max_repeats": 2.0}) for s in sources]
    study = study_of(sampler, sources=tuple(capped), training=Training(allow_repeats=True))
    jobs = []
    for reopen in (False, True):
        ledger = Ledger(tmp_path, study, SPACE, held=held)
        while (job := ledger.next(30 if reopen else 15)) is not None:
            write(tmp_path, job)
            ledger.tell(job.number)
            jobs.append(job)
    most = [max(p.count for p in plan(job.recipe, capped)) for job in jobs]
    assert len(most) == 30 and max(most) <= 3000, "baselines, too"
    assert len({job.recipe for job in jobs if not job.replicate}) == sum(
        not job.replicate for job in jobs
    )
    assert sum(bool(job.replicate) for job in jobs) <= 10, "those that are due at both ends"
    (tmp_path / "free").mkdir()
    free = run(tmp_path / "free", 30)
    assert max(job.recipe.parallel_size for job in free if job.role == "search") > 3000


def test_a_damaged_record_of_what_ran_is_moved_aside_and_runs_again(tmp_path):
    ledger = ledger_in(tmp_path)
    write(tmp_path, base_job(study_of()))
    job = ledger.next(4)
    paths = [result_path(tmp_path, -1), write(tmp_path, job)]
    for path in paths:
        path.write_bytes(path.read_bytes()[:50])
    ledger = ledger_in(tmp_path)
    assert ledger.needs_base() and ledger.next(4) == job
    assert sorted(map(str, paths)) == sorted(text.split(": ")[0] for text in ledger.records.damaged)
    assert [p.exists() for p in paths] == [False, False]
    assert all(p.with_name("result.json.damaged").stat().st_size == 50 for p in paths)


def test_a_damaged_record_of_what_was_told_is_moved_aside_and_named(tmp_path):
    run(tmp_path, 2)
    path = result_path(tmp_path, 0)
    path.write_bytes(path.read_bytes()[:50])
    ledger = ledger_in(tmp_path)
    (text,) = ledger.records.damaged
    assert text.startswith(f"{path}: ") and "the front leaves out the trial" in text
    assert not path.exists() and ledger.finished == 2 and ledger.next(3).number == 2
    assert ledger_in(tmp_path).records.damaged == []


def test_telling_twice_changes_nothing(tmp_path):
    ledger = ledger_in(tmp_path)
    job = ledger.next(10)
    write(tmp_path, job)
    assert ledger.tell(job.number).number == job.number
    assert ledger.tell(job.number) is None
    write_record(tmp_path, make_failed(job.number))
    assert ledger.tell(job.number) is None
    assert states_in(tmp_path)[0] == TrialState.COMPLETE


def test_no_trial_is_left_running_at_the_end(tmp_path):
    run(tmp_path, 5)
    assert TrialState.RUNNING not in states_in(tmp_path)
    assert states_in(tmp_path).count(TrialState.COMPLETE) == 5


def test_trials_at_once_are_counted(tmp_path):
    ledger = ledger_in(tmp_path)
    jobs = [ledger.next(3) for _ in range(4)]
    assert [j.number for j in jobs[:3]] == [0, 1, 2] and jobs[3] is None
    write(tmp_path, jobs[1])
    ledger.tell(1)
    assert ledger.next(3) is None


def test_an_extended_run_adds_what_is_missing(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    # which trial is repeated, and what is recommended, depends on how many there are
    alone = Budget(replicate_share=0, confirm=0)
    assert [j.number for j in run(tmp_path / "a", 12, budget=alone)] == list(range(12))
    assert run(tmp_path / "a", 12, budget=alone) == []
    added = run(tmp_path / "a", 16, budget=alone)
    assert [j.number for j in added] == [12, 13, 14, 15]
    assert added == run(tmp_path / "b", 16, budget=alone)[12:]


def test_objectives_to_be_minimised(tmp_path):
    objectives = {"retention": "max", "off_target": "min"}
    ledger = ledger_in(tmp_path, objectives=objectives)
    job = ledger.next(5)
    found = {"quality": 0.5, "retention": 0.8, "off_target": 0.03}
    scores = {name: make_score(value) for name, value in found.items()}
    write_record(tmp_path, make_record(job.number, objectives=scores))
    ledger.tell(job.number)
    assert trials_in(tmp_path)[0].values == [0.8, 0.03], "in the order of the study"
    assert [d.name for d in ledger._study._study.directions] == ["MAXIMIZE", "MINIMIZE"]


def test_a_start_that_was_cut_off_is_completed(tmp_path, monkeypatch):
    """Killed while the first trials were enqueued."""
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    expected = run(tmp_path / "a", 10)
    enqueue, calls = optuna.Study.enqueue_trial, []

    def killed(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        enqueue(self, *args, **kwargs)

    monkeypatch.setattr(optuna.Study, "enqueue_trial", killed)
    with pytest.raises(KeyboardInterrupt):
        ledger_in(tmp_path / "b")
    assert run(tmp_path / "b", 10) == expected


def test_a_journal_whose_last_line_is_cut_short_goes_on(tmp_path):
    """A full disk or a lost machine leaves half a line; what follows must not be glued to it."""
    run(tmp_path, 2)
    path = tmp_path / "study.journal"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":5,"worker')
    assert [j.number for j in run(tmp_path, 4)] == [2, 3]
    assert path.read_bytes().startswith(whole)
    assert len(run(tmp_path, 5)) == 1


def test_a_lock_left_by_a_killed_process_is_no_wait(tmp_path):
    """Optuna would wait for half a minute; the run's folder is locked, so nobody holds it."""
    run(tmp_path, 1)
    (tmp_path / "study.journal.lock").symlink_to(tmp_path / "study.journal")
    start = time.monotonic()
    assert len(run(tmp_path, 2)) == 1
    assert time.monotonic() - start < 5


def test_a_space_cannot_switch_the_references_off(tmp_path):
    space = Space(
        parameters={
            "frozen_layers": IntRange(type="int", low=1, high=5),
            "learning_rate": FloatRange(type="float", low=1e-4, high=1e-2, log=True),
            "replay_fraction": FloatRange(type="float", low=0.1, high=0.5),
        },
        fixed={"parallel_size": 500, "mono_ratio": 0.5},
    )
    found = baseline_recipes(space, study_of(defaults={}))
    assert found == {
        role: {
            "parallel_size": 500, "frozen_layers": 0, "learning_rate": pytest.approx(1e-3),
            "replay_fraction": 0.0, "mono_ratio": ratio,
        }
        for role, ratio in zip(REFERENCES[:3], (0.0, 1.0, 2.0), strict=True)
    } | {"uniform": {**found["mono_one_to_one"], "parallel_size": 250}}  # fmt: skip
    jobs = run(tmp_path, 5, space=space)
    assert [j.recipe.mono_ratio for j in jobs] == [0.0, 1.0, 2.0, 1.0, 0.5]
    assert [j.recipe.replay_fraction for j in jobs[:4]] == [0.0] * 4
    without_mono = study_of(sources=SOURCES[:1])
    assert list(baseline_recipes(SPACE, without_mono)) == ["parallel_only"]


def test_references_are_exact_where_the_choices_lack_them(tmp_path):
    choices = {
        "frozen_layers": Choices(type="categorical", choices=(2, 4)),
        "mono_ratio": Choices(type="categorical", choices=(0.5, 2.0)),
        "learning_rate": Choices(type="categorical", choices=(5e-4, 2e-3)),
    }
    space = Space(parameters=choices, fixed={"parallel_size": 500})
    for reopen in (False, True):
        folder = tmp_path / str(reopen)
        folder.mkdir()
        jobs = run(folder, 9, reopen, space=space)
        fixed = {"parallel_size": 500, "learning_rate": 0.001, "frozen_layers": 0}
        assert jobs[0].recipe == Recipe(mono_ratio=0.0, **fixed)
        assert jobs[1].recipe == Recipe(mono_ratio=1.0, **fixed)
        assert all(j.recipe.frozen_layers in (2, 4) for j in jobs[4:])


def test_references_take_as_much_as_the_sources_hold():
    study = study_of(defaults={})
    found = baseline_recipes(SPACE, study, {"pairs": 8192, "mono": 1000})
    assert found["parallel_only"]["parallel_size"] == 8192
    assert 990 <= found["mono_one_to_one"]["parallel_size"] <= 1000
    assert 490 <= found["mono_two_to_one"]["parallel_size"] <= 500
    assert found["mono_two_to_one"]["mono_ratio"] == 2.0, "smaller, and still the same mix"
    repeating = study.model_copy(
        update={"training": study.training.model_copy(update={"allow_repeats": True})}
    )
    assert baseline_recipes(SPACE, repeating, {"mono": 1}) == baseline_recipes(SPACE, study)


QUANTILES = [
    (FloatDistribution(1.0, 3.0), [1.0, 2.0], 3.0),
    (FloatDistribution(1e-4, 1e-2, log=True), [1e-4, 1e-3], 1e-2),
    (FloatDistribution(0.0, 2.0, step=0.5), [0.0, 1.0], 2.0),
    (IntDistribution(0, 5), [0, 3], 5),
    (IntDistribution(0, 10, step=5), [0, 5], 10),
    (IntDistribution(4, 64, log=True), [4, 16], 64),
    (IntDistribution(7, 7), [7, 7], 7),
    (CategoricalDistribution((0, 2, 4)), [0, 2], 4),
]


@pytest.mark.parametrize("distribution, values, last", QUANTILES)
def test_at_quantile(distribution, values, last):
    assert [at_quantile(distribution, u) for u in (0.0, 0.5)] == pytest.approx(values)
    assert at_quantile(distribution, 1 - 1e-12) == pytest.approx(last)
    # the sampler's highest coordinate gives the end of a range itself, not 1.999999998 of 2
    assert at_quantile(distribution, 1 - 1e-9) == at_quantile(distribution, 1 - 1e-12)


STEPPED = [
    (IntDistribution(0, 3), [0, 1, 2, 3]),
    (IntDistribution(0, 15, step=5), [0, 5, 10, 15]),
    (FloatDistribution(0.0, 1.5, step=0.5), [0.0, 0.5, 1.0, 1.5]),
]


@pytest.mark.parametrize("distribution, values", STEPPED)
def test_every_step_of_a_range_is_as_likely(distribution, values):
    found = [at_quantile(distribution, (i + 0.5) / 400) for i in range(400)]
    assert [found.count(v) for v in values] == [100] * 4


def test_space_filling():
    points = space_filling(SPACE.distributions(), 64, 1)
    assert points[:5] == space_filling(SPACE.distributions(), 5, 1)
    assert points != space_filling(SPACE.distributions(), 64, 2)
    assert all(list(p) == list(SPACE.parameters) for p in points)
    for name, low, middle, high in (("mono_ratio", 0, 1, 2), ("parallel_size", 256, 1448.15, 8192)):
        values = [p[name] for p in points]
        assert all(low <= v <= high for v in values)
        assert sum(v < middle for v in values) == 32, "Sobol halves every axis exactly"
    assert all(isinstance(p["parallel_size"], int) for p in points)


def test_an_unknown_sampler_is_an_error_that_lists_the_known(tmp_path):
    with pytest.raises(ConfigError, match="sampler 'grid' is unknown; known: auto, ehvi, gp, tpe"):
        check_sampler("grid")


def test_suggestions_are_worked_out_ahead_and_leave_no_trace(tmp_path):
    ledger = ledger_in(tmp_path)
    for _ in range(8):
        job = ledger.next(10)
        write(tmp_path, job)
        ledger.tell(job.number)
    before = (tmp_path / "study.journal").read_bytes()
    ledger.look_ahead(10)
    while (job := ledger.next(10, wait=False)) is None:
        assert not ledger.exhausted(10)
        assert (tmp_path / "study.journal").read_bytes() == before
        time.sleep(0.01)
    assert job.number == 8 and ledger.running == 1
    ledger.look_ahead(9)
    assert ledger.exhausted(9) and ledger.next(9) is None
