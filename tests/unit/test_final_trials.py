"""The first baseline twice, the confirmation, and trials that settle the answer, with tabulated
advice in the place of a model."""

import pytest
from ledger_factory import REFERENCES, ledger_in, lucky_run, study_of, trials_in, write_lucky
from records_factory import make_failed

from mtray.report.records import write_record
from mtray.run_files import result_path
from mtray.schema import Budget
from mtray.search.ledger.trial_attributes import CONFIRMS, SETTLES, WHY
from mtray.search.strategy.advice import Advisor, Proposal
from mtray.trial.job import base_job

PLAN = 14
POINT = {"parallel_size": 777, "mono_ratio": 0.5, "learning_rate": 1e-3}
SETTLING = Budget(settle=0.95)


class Table:
    """Advice from a table: `recommended`, then `wanted` trials of it in all, counting those that
    run; `asked` says what it was asked with."""

    def __init__(self, recommended=None, wanted=0):
        self.recommended, self.wanted, self.asked = recommended, wanted, []

    def recommend(self, records):
        self.asked.append(("recommend", len(records)))
        return self.recommended

    def settle(self, records, pending):
        self.asked.append(("settle", len(records), len(pending)))
        of = self.recommended.repeats_of
        done = [r for r in records if of in (r.number, r.of) and r.state == "complete"]
        return self.recommended if len(done) + len(pending) < self.wanted else None

    @property
    def advice(self):
        return Advisor(self.recommend, self.settle)


NEW = Proposal(POINT, None, "predicted to be best")
AGAIN = Proposal({}, 6, "too close to trial 5")


def ledger_of(run_dir, table, budget):
    ledger = ledger_in(run_dir, budget=budget)
    ledger.ending.advice = table.advice
    return ledger


def advised_run(run_dir, table, budget, reopen=False, total=None):
    """To the end; from a new ledger for each trial, which is not told, where `reopen`."""
    if not (run_dir / "trials").exists():
        write_lucky(run_dir, base_job(study_of()))
    ledger, jobs = ledger_of(run_dir, table, budget), []
    while (job := ledger.next(total or ledger.total)) is not None:
        jobs.append(job)
        write_lucky(run_dir, job)
        if reopen:
            ledger = ledger_of(run_dir, table, budget)
        else:
            ledger.tell(job.number)
    return jobs


def noted(run_dir, note):
    return {t.number: t.user_attrs[note] for t in trials_in(run_dir) if note in t.user_attrs}


def test_the_first_baseline_is_trained_twice_before_anything_else(tmp_path):
    jobs = lucky_run(tmp_path, PLAN, budget=Budget(trials=PLAN))
    one, two, *rest = jobs
    assert (two.recipe, two.role, two.of, two.replicate) == (one.recipe, REFERENCES[0], 0, 1)
    assert two.seed == one.seed + 1 and two.draw != one.draw
    assert [j.role for j in rest[:3]] == REFERENCES[1:]
    assert sum(bool(j.replicate) for j in jobs[:-1]) == 3, "one of the budget's repeats"


@pytest.mark.parametrize("trials, baselines, repeated", [
    (7, "all", REFERENCES[0]), (6, "all", None), (14, ["uniform"], "uniform"), (14, "none", None),
    (3, ["mono_one_to_one"], None), (4, ["mono_one_to_one"], "mono_one_to_one"),
])  # fmt: skip
def test_which_budget_repeats_which_baseline_first(tmp_path, trials, baselines, repeated):
    ledger = ledger_in(tmp_path, budget=Budget(trials=trials, baselines=baselines))
    jobs = [ledger.next(trials) for _ in range(2)]
    assert [j.role for j in jobs if j.replicate] == ([repeated] if repeated else [])


def test_a_run_of_an_earlier_version_repeats_it_at_its_next_start(tmp_path):
    old = Budget(trials=PLAN, replicate_share=0, confirm=0)
    lucky_run(tmp_path, 10, budget=old)
    jobs = lucky_run(tmp_path, PLAN, budget=Budget(trials=PLAN))
    assert [(j.of, j.role) for j in jobs[:1]] == [(0, REFERENCES[0])]
    assert len(jobs) == 4 and len(noted(tmp_path, CONFIRMS)) == 1


@pytest.mark.parametrize("spent", ["the trials", "the repeats"])
def test_but_not_where_nothing_is_left_for_it(tmp_path, spent):
    old = Budget(trials=PLAN, replicate_share=0, confirm=0)
    if spent == "the trials":
        lucky_run(tmp_path, PLAN, budget=old)
        before = len(trials_in(tmp_path))
    else:
        lucky_run(tmp_path, PLAN, budget=Budget(trials=2, confirm=0))  # all repeats at the end
        before = len(trials_in(tmp_path))
    ledger_in(tmp_path, budget=Budget(trials=PLAN))
    assert len(trials_in(tmp_path)) == before


def test_a_first_baseline_that_failed_is_not_repeated_later(tmp_path):
    budget = Budget(trials=2, confirm=0)
    ledger = ledger_in(tmp_path, budget=budget)
    job = ledger.next(2)
    write_record(tmp_path, make_failed(job.number))
    ledger.tell(job.number)
    assert ledger_in(tmp_path, budget=Budget(trials=PLAN)).next(PLAN).role == REFERENCES[1]


CONFIRMED = [
    (NEW, "search", None),
    (AGAIN, "search", 6),
    (Proposal({}, 1, "a repeat's recipe is its first's"), REFERENCES[0], 0),
    (Proposal({}, 2_000_005, "at another alpha: who trained it"), "search", 5),
]


@pytest.mark.parametrize("proposal, role, of", CONFIRMED)
def test_the_last_trial_of_a_budget_trains_what_is_recommended(tmp_path, proposal, role, of):
    table = Table(proposal)
    jobs = advised_run(tmp_path, table, Budget(trials=PLAN))
    last = jobs[-1]
    assert len(jobs) == PLAN and (last.role, last.of) == (role, of)
    if of is None:
        assert {name: getattr(last.recipe, name) for name in POINT} == POINT
    else:
        assert last.recipe == jobs[of].recipe
        known = [j.replicate for j in jobs[:-1] if j.of == of]
        assert last.replicate == max(known, default=0) + 1
        assert last.seed not in {j.seed for j in jobs[:-1] if of in (j.number, j.of)}
    assert table.asked == [("recommend", PLAN)], "13 trials and the base model"
    assert noted(tmp_path, CONFIRMS) == {PLAN - 1: PLAN}
    assert noted(tmp_path, WHY) == {PLAN - 1: proposal.why}
    ledger = ledger_in(tmp_path)
    assert ledger.purpose(PLAN - 1) == f"confirms the recommended recipe: {proposal.why}"
    assert ledger.purpose(PLAN - 2) == ledger.purpose(-1) == ""


@pytest.mark.parametrize("order", ["first", "last", "middle"])
def test_the_order_in_which_trials_end_changes_no_count(tmp_path, order):
    """Three run at a time, and the first, the last or the middle one ends."""
    write_lucky(tmp_path, base_job(study_of()))
    table = Table(NEW)
    ledger, running, jobs = ledger_of(tmp_path, table, Budget(trials=PLAN)), [], []
    while True:
        while len(running) < 3 and (job := ledger.next(PLAN)) is not None:
            running.append(job)
            jobs.append(job)
        if not running:
            break
        place = {"first": 0, "last": -1, "middle": len(running) // 2}[order]
        ended = running.pop(place)
        write_lucky(tmp_path, ended)
        ledger.tell(ended.number)
    repeats = [j for j in jobs if j.replicate]
    searched = [j for j in jobs[:-1] if j.role == "search" and not j.replicate]
    assert [len(jobs), len(repeats), len(searched)] == [PLAN, 3, 6]
    assert noted(tmp_path, CONFIRMS) == {PLAN - 1: PLAN}
    assert table.asked == [("recommend", PLAN)]


@pytest.mark.parametrize("budget", [Budget(trials=PLAN), SETTLING])
def test_nothing_is_asked_before_the_base_model_is_measured(tmp_path, budget):
    table = Table(AGAIN, 5)
    advised_run(tmp_path, table, budget, total=PLAN - (budget.settle is None))
    asked = len(table.asked)
    base = result_path(tmp_path, -1)
    base.unlink()
    ledger = ledger_of(tmp_path, table, budget)
    total = ledger.total
    assert ledger.next(total) is None and not ledger.exhausted(total)
    assert len(table.asked) == asked
    write_lucky(tmp_path, base_job(study_of()))
    assert ledger.next(total).of == 6


def test_where_nothing_is_recommended_a_candidate_is_repeated(tmp_path):
    jobs = advised_run(tmp_path, Table(None), Budget(trials=PLAN))
    assert len(jobs) == PLAN and jobs[-1].replicate and noted(tmp_path, CONFIRMS) == {}


@pytest.mark.parametrize("proposal", [NEW, AGAIN])
def test_a_confirmation_cut_off_is_not_asked_for_twice(tmp_path, proposal):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    budget = Budget(trials=PLAN)
    through = advised_run(tmp_path / "a", Table(proposal), budget)
    assert advised_run(tmp_path / "b", Table(proposal), budget, reopen=True) == through
    for run_dir in (tmp_path / "a", tmp_path / "b"):
        other = Table(Proposal({}, 5, "another"))
        assert advised_run(run_dir, other, budget) == [] and other.asked == []


def test_a_confirmation_without_a_record_comes_again_as_it_was(tmp_path):
    budget = Budget(trials=PLAN)
    write_lucky(tmp_path, base_job(study_of()))
    ledger = ledger_of(tmp_path, Table(NEW), budget)
    for _ in range(PLAN - 1):
        job = ledger.next(PLAN)
        write_lucky(tmp_path, job)
        ledger.tell(job.number)
    job = ledger.next(PLAN)
    other = Table(Proposal({}, 5, "another"))
    assert ledger_of(tmp_path, other, budget).next(PLAN) == job and other.asked == []


def test_the_confirmation_waits_for_all_that_run(tmp_path):
    write_lucky(tmp_path, base_job(study_of()))
    table = Table(NEW)
    ledger = ledger_of(tmp_path, table, Budget(trials=PLAN))
    jobs = []
    while (job := ledger.next(PLAN)) is not None:
        jobs.append(job)
        if len(jobs) > 3:  # three run at a time
            ended = jobs[len(jobs) - 4]
            write_lucky(tmp_path, ended)
            ledger.tell(ended.number)
    assert len(jobs) == PLAN - 1 and table.asked == []
    assert not ledger.exhausted(PLAN)
    for ended in jobs[-3:]:
        assert ledger.next(PLAN) is None
        write_lucky(tmp_path, ended)
        ledger.tell(ended.number)
    assert ledger.next(PLAN).number == PLAN - 1 and table.asked == [("recommend", PLAN)]


def test_a_longer_budget_confirms_again_at_its_own_end(tmp_path):
    advised_run(tmp_path, Table(NEW), Budget(trials=PLAN))
    jobs = advised_run(tmp_path, Table(AGAIN), Budget(trials=20))
    assert len(jobs) == 6 and noted(tmp_path, CONFIRMS) == {13: 14, 19: 20}


@pytest.mark.parametrize("wanted, more", [(1, 0), (3, 1), (5, 3), (99, 7)])
@pytest.mark.parametrize("reopen", [False, True])
def test_settling_goes_on_until_it_is_settled_or_the_ceiling(tmp_path, wanted, more, reopen):
    """The confirmation is the second training of trial 6."""
    jobs = advised_run(tmp_path, Table(AGAIN, wanted), SETTLING, reopen)
    already = sum(j.of == 6 for j in jobs[:PLAN])
    expected = max(0, min(wanted - 1 - already, 7))
    assert (len(jobs), already) == (PLAN + expected, 1) and expected == more
    assert noted(tmp_path, SETTLES) == dict.fromkeys(range(PLAN, PLAN + more), 0.95)
    assert all(j.of == 6 for j in jobs[PLAN:])
    said = {ledger_in(tmp_path).purpose(number) for number in range(PLAN, PLAN + more)}
    assert said == ({"may settle the answer: too close to trial 5"} if more else set())
    assert len({j.replicate for j in jobs if j.of == 6}) == 1 + more, "no seed twice"
    ledger = ledger_of(tmp_path, Table(AGAIN, wanted), SETTLING)
    assert ledger.total == PLAN + 7 and ledger.exhausted(ledger.total)


def test_settling_that_is_stopped_goes_on_alike(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    through = advised_run(tmp_path / "a", Table(AGAIN, 5), SETTLING)
    first = advised_run(tmp_path / "b", Table(AGAIN, 5), SETTLING, total=PLAN + 1)
    assert first + advised_run(tmp_path / "b", Table(AGAIN, 5), SETTLING) == through


def test_a_finished_run_can_be_settled_later(tmp_path):
    advised_run(tmp_path, Table(AGAIN), Budget(trials=20))
    jobs = advised_run(tmp_path, Table(AGAIN, 99), SETTLING)
    assert len(jobs) == 10, "half as many again as the 20 that it has"
    assert advised_run(tmp_path, Table(AGAIN, 99), SETTLING) == [], "and not half of that again"
    limited = Budget(settle=0.95, ceiling=32)
    assert len(advised_run(tmp_path, Table(AGAIN, 99), limited)) == 2


def test_workers_at_once_are_not_given_what_runs_already(tmp_path):
    """Three more are wanted: a fourth worker waits, and goes on when one of them fails."""
    table = Table(AGAIN, 5)
    advised_run(tmp_path, table, SETTLING, total=PLAN)
    ledger = ledger_of(tmp_path, table, SETTLING)
    jobs = [ledger.next(21) for _ in range(4)]
    assert [j and j.replicate for j in jobs] == [2, 3, 4, None]
    assert not ledger.exhausted(21), "what runs may fail"
    asked = len(table.asked)
    assert ledger.next(21) is None and len(table.asked) == asked, "once in any state"
    write_record(tmp_path, make_failed(jobs[0].number))
    ledger.tell(jobs[0].number)
    assert ledger.next(21).replicate == 5
    for job in jobs[1:3]:
        write_lucky(tmp_path, job)
        ledger.tell(job.number)
    assert ledger.next(21) is None and not ledger.exhausted(21)


@pytest.mark.parametrize("proposal, said", [
    (Proposal({}, 99, ""), "repeats trial 99, which is none"),
    (Proposal({}, -1, ""), "repeats trial -1, which is none"),
    (Proposal({"mono_ratio": 1.0}, None, ""), "sets mono_ratio, which is no point"),
])  # fmt: skip
def test_advice_that_is_none_is_an_error(tmp_path, proposal, said):
    with pytest.raises(ValueError, match=said):
        advised_run(tmp_path, Table(proposal), Budget(trials=PLAN))
