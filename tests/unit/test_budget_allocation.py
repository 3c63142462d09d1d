"""What the trials of a budget are spent on, and when that is refused."""

import re
from dataclasses import replace

import pytest
from ledger_factory import REFERENCES, SOURCES, SPACE, ledger_in, study_of, write_lucky
from records_factory import make_record
from test_warm_start import run, taken_from

from mtray.errors import ConfigError
from mtray.report.records import write_record
from mtray.schema import BASELINES, Budget, Recipe, Source
from mtray.search.ledger.allocation_check import allocated, checked_allocation
from mtray.search.ledger.trial_attributes import CONFIRMS, FIRST_AGAIN, REPLICATE, is_baseline
from mtray.search.ledger.trial_plan import over_lines
from mtray.trial.job import base_job

ALL = ", ".join(REFERENCES)
PAIRS = SOURCES[:1]
OPEN = SPACE.model_copy(update={"fixed": {}})  # baselines are recipes of it


def division(trials, sources=SOURCES, **budget):
    study = study_of(sources=sources, budget=Budget(trials=trials, **budget))
    return allocated(study, OPEN)


AGAIN = "(one of parallel_only, at the start)"
TEXTS = [
    (
        division(14),
        f"14 trials: 4 baselines ({ALL}), 6 recipes searched, 3 repeats {AGAIN}, 1 confirmation",
    ),
    (
        division(100),
        f"100 trials: 4 baselines ({ALL}), 70 recipes searched, 25 repeats {AGAIN}, 1 confirmation",
    ),
    (
        division(10),
        f"10 trials: 4 baselines ({ALL}), 5 recipes searched, 1 repeat {AGAIN}, no confirmations",
    ),
    (
        division(7),
        f"7 trials: 4 baselines ({ALL}), 2 recipes searched, 1 repeat {AGAIN}, no confirmations",
    ),
    (
        division(6, replicate_share=0),
        f"6 trials: 4 baselines ({ALL}), 2 recipes searched, no repeats, no confirmations",
    ),
    (
        division(14, PAIRS, replicate_share=0, confirm=0),
        "14 trials: 1 baseline (parallel_only), 13 recipes searched, no repeats, no confirmations",
    ),
    (
        division(9, baselines=["uniform", "parallel_only"]),
        f"9 trials: 2 baselines (parallel_only, uniform), 5 recipes searched, 1 repeat {AGAIN}, "
        "1 confirmation",
    ),
    (
        division(1, baselines="none"),
        "1 trial: no baselines, 1 recipe searched, no repeats, no confirmations",
    ),
]


@pytest.mark.parametrize("found, text", TEXTS)
def test_a_budget_in_words(found, text):
    assert found.text() == f"{text} of the recommended recipe; plus the base model"
    assert found.lines()[0] == found.text()
    found.check()


SAID = [
    (division(14), []),
    (division(10), ["no trial is left to confirm"]),
    (division(7), ["no trial is left to confirm"]),
    (division(14, replicate_share=0, confirm=0), []),
    (division(14, baselines="none"), []),
]


@pytest.mark.parametrize("found, said", SAID)
def test_what_a_small_budget_goes_without_is_said(found, said):
    lines = found.lines()[1:]
    assert len(lines) == len(said)
    assert all(line.startswith(head) for line, head in zip(lines, said, strict=True))


@pytest.mark.parametrize("trials", [6, 7, 11, 14, 20, 40])
@pytest.mark.parametrize("baselines", ["all", "none", ["parallel_only"]])
def test_it_is_what_a_sweep_does(tmp_path, trials, baselines):
    """As the journal has it, with no suggestion that happens to repeat another."""
    study = study_of("random", budget=Budget(trials=trials, baselines=baselines))
    write_lucky(tmp_path, base_job(study))
    ledger = ledger_in(tmp_path, budget=study.budget)
    while (job := ledger.next(trials)) is not None:
        write_lucky(tmp_path, job)
        ledger.tell(job.number)
    done = ledger._study.trials()
    done = [t for t in done if t.state.is_finished()]
    confirms = [t for t in done if CONFIRMS in t.user_attrs]
    repeats = [t for t in done if REPLICATE in t.user_attrs and t not in confirms]
    again = [t.number for t in done if FIRST_AGAIN in t.user_attrs]
    found = allocated(study, SPACE)
    assert tuple(t.user_attrs["role"] for t in done if is_baseline(t)) == found.baselines
    assert (len(done), len(repeats), len(confirms)) == (trials, found.repeats, found.confirm)
    assert again == [1] * found.first_again
    spent = len(found.baselines) + len(repeats) + len(confirms)
    assert found.searched == trials - spent


def go_on(ledger, trials, most):
    """So many further trials of a budget, or as many as it has left."""
    for _ in range(most):
        if (job := ledger.next(trials)) is None:
            break
        write_lucky(ledger._run_dir, job)
        ledger.tell(job.number)


@pytest.mark.parametrize("begun", [1, 3, 5, 8])
@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("all", ["parallel_only"]),
        ("all", ["uniform"]),
        ("all", "none"),
        (["parallel_only"], "all"),
        (["uniform"], ["parallel_only"]),
    ],
)
def test_a_run_that_goes_on_with_other_baselines_does_what_is_said(tmp_path, begun, before, now):
    """Those that it has begun, or enqueued, count whether they are named now or not."""
    trials, budget = 20, Budget(trials=20, baselines=now)
    write_lucky(tmp_path, base_job(study_of()))
    go_on(ledger_in(tmp_path, budget=Budget(trials=trials, baselines=before)), trials, begun)
    found = checked_allocation(study_of(budget=budget), SPACE, tmp_path)
    ledger = ledger_in(tmp_path, budget=budget)
    go_on(ledger, trials, trials)
    done = ledger._study.trials()
    confirms = [t for t in done if CONFIRMS in t.user_attrs]
    repeats = [t for t in done if REPLICATE in t.user_attrs and t not in confirms]
    trained = [t.user_attrs["role"] for t in done if is_baseline(t)]
    again = [t.user_attrs["role"] for t in done if FIRST_AGAIN in t.user_attrs]
    assert sorted(trained) == sorted(found.baselines)
    assert (len(done), len(repeats), len(confirms)) == (trials, found.repeats, found.confirm)
    assert again == [found.first] * found.first_again
    assert found.searched == trials - len(trained) - len(repeats) - len(confirms)


def test_a_first_baseline_of_an_earlier_run_is_trained_again_here_once(tmp_path):
    budget = Budget(trials=14)
    run(tmp_path / "old", 8, space=OPEN, budget=Budget(trials=8, replicate_share=0))
    taken = taken_from(tmp_path / "old", OPEN).taken
    found = checked_allocation(study_of(budget=budget), OPEN, None, taken)
    assert (found.baselines, found.first_again, found.repeats) == ((), True, 3)
    jobs = run(tmp_path / "new", 14, taken, OPEN, budget=budget)
    assert (jobs[0].role, jobs[0].of, jobs[0].replicate) == ("parallel_only", 0, 1)
    assert sum(bool(j.replicate) for j in jobs[:-1]) == 3
    # a third run that takes over from this one has it twice
    both = taken_from(tmp_path / "new", OPEN).taken
    found = checked_allocation(study_of(budget=budget), OPEN, None, both)
    assert (found.first, found.first_again, found.repeats) == (None, False, 3)
    job, *_ = run(tmp_path / "third", 1, both, OPEN, budget=budget)
    assert (job.role, job.replicate) == ("search", 0)
    found = checked_allocation(study_of(budget=budget), OPEN, tmp_path / "third")
    assert found.first is None, "nor when it goes on without --from"


REFUSED = [
    (division(1), 0, 7),
    (division(4), 0, 7),
    (division(6), 1, 7),
    (division(5, replicate_share=0), 1, 6),
    (division(3, PAIRS), 1, 4),
    (division(5, baselines=BASELINES[:3]), 1, 6),
]


@pytest.mark.parametrize("found, left, least", REFUSED)
def test_a_budget_that_baselines_eat_up_is_refused(found, left, least):
    with pytest.raises(ConfigError, match=f"`budget.trials` is {found.trials}: ") as caught:
        found.check()
    said = str(caught.value)
    assert f"leaves {left or 'no'} recipe" in said and ", ".join(found.baselines) in said
    assert f"`--trials {least}`" in said
    (named,) = re.findall(r"`budget: {baselines: (.*)}`", said)
    fewer = [] if named == "none" else [named.strip("[]")]
    assert len(fewer) < len(found.baselines)
    replace(found, baselines=tuple(fewer)).check()
    kept = {"baselines": found.baselines, "replicate_share": found.budget.replicate_share}
    enough = division(least, found_sources(found), **kept)
    enough.check()


def test_where_the_answer_is_to_be_settled_no_option_sets_the_trials():
    with pytest.raises(ConfigError, match=r"Set it to 7 or more, or choose"):
        division(5, settle=0.95).check()


def found_sources(found):
    return PAIRS if found.baselines == ("parallel_only",) else SOURCES


def test_baselines_of_an_earlier_run_do_not_count(tmp_path):
    run(tmp_path / "old", 8, space=OPEN)
    taken = taken_from(tmp_path / "old", OPEN).taken
    study = study_of(budget=Budget(trials=1))
    assert {t.record.role for t in taken} >= {"parallel_only", "mono_one_to_one", "search"}
    found = checked_allocation(study, OPEN, None, taken)
    assert (found.baselines, found.filling_points, found.searched) == ((), 0, 1)
    # nor once they are taken over, when the run goes on without --from
    run(tmp_path / "new", 1, taken, OPEN, budget=Budget(trials=1))
    found = checked_allocation(study_of(budget=Budget(trials=2)), OPEN, tmp_path / "new")
    assert (found.baselines, found.searched) == ((), 2)
    with pytest.raises(ConfigError):
        checked_allocation(study, OPEN, tmp_path / "nowhere")


def searched(number):
    return make_record(number, recipe=Recipe(parallel_size=300 + number))


PAST = {
    "as many trials as asked for": [make_record(n, role=REFERENCES[n]) for n in range(4)],
    "enough searched": [make_record(0, role="uniform"), searched(1), searched(2)],
}
NOT_PAST = {
    "nothing yet": [],
    "the base model and points at other alphas": [
        make_record(-1, role="base"),
        *(make_record(1_000_000 + n, trained_as=n) for n in range(4)),
    ],
    "fewer trials": [make_record(n, role=REFERENCES[n]) for n in range(3)],
    "one searched, and again": [searched(1), make_record(2, replicate=1, of=1)],
}


def left(tmp_path, records):
    for record in records:
        write_record(tmp_path, record)
    return study_of(budget=Budget(trials=4)), SPACE, tmp_path


@pytest.mark.parametrize("name", PAST)
def test_a_run_that_is_past_its_budget_goes_on(tmp_path, name):
    assert checked_allocation(*left(tmp_path, PAST[name])).searched == 0


@pytest.mark.parametrize("name", NOT_PAST)
def test_a_run_that_is_not_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="which leaves no recipes to search"):
        checked_allocation(*left(tmp_path, NOT_PAST[name]))


def test_a_study_with_more_kinds_of_sources_has_more_baselines():
    replay = Source(name="replay", kind="replay", path="r.jsonl")
    assert division(9, PAIRS).baselines == ("parallel_only",)
    assert division(9, (*PAIRS, replay)).baselines == ("parallel_only", "uniform")


@pytest.mark.parametrize("finished, line", [(3, ""), (4, "4 trials of this run"), (6, "6 trials")])
def test_a_budget_that_is_spent_has_no_plan(finished, line):
    """The base model and further points of a training are no trials of it."""
    records = [make_record(n, role="base" if n < 0 else "search") for n in range(-1, finished)]
    records.append(make_record(90, trained_as=0))
    found = over_lines(records, 4)
    assert [text.startswith(line) for text in found] == [True] * bool(line)
    assert not line or f"--trials {finished + 1}" in found[0]
