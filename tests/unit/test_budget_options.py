"""The command line over a study's budget, and what a dry run and the log say of it."""

import pytest
from ledger_factory import ledger_in, write_lucky
from pydantic import ValidationError
from records_factory import make_record
from test_final_trials import AGAIN, NEW, SETTLING, Table, advised_run

from mtray.budget_options import with_options
from mtray.commands.status import ending_lines
from mtray.errors import ConfigError
from mtray.report.records import write_record
from mtray.schema import Budget
from mtray.search.ledger.journal_overview import read_overview
from mtray.search.ledger.trial_plan import after_first_repeat, most_further, settling_lines
from mtray.sweep_command import arguments

STUDY = Budget(trials=14)
OPTIONS = [
    ([], STUDY, (14, None, None)),
    (["--trials", "20"], STUDY, (20, None, None)),
    (["--settle", ".95"], STUDY, (14, 0.95, None)),
    (["--settle", ".95", "--trials", "20"], STUDY, (14, 0.95, 20)),
    (["--settle", ".9", "--trials", "10"], STUDY, (10, 0.9, 10)),
    (["--trials", "20"], SETTLING, (14, 0.95, 20)),
    (["--settle", ".8"], SETTLING, (14, 0.8, None)),
]


@pytest.mark.parametrize("given, budget, expected", OPTIONS)
def test_options_over_a_budget(given, budget, expected):
    found = with_options(budget, arguments(given))
    assert (found.trials, found.settle, found.ceiling) == expected


@pytest.mark.parametrize(
    "given, said",
    [
        (["--settle", ".5"], "--settle: expected a probability above 0.5 and below 1, found 0.5"),
        (["--settle", "95"], "--settle: expected .* found 95"),
        (["--trials", "0"], "--trials: expected 1 or more, found 0"),
        (["--max-minutes", "0"], "--max-minutes: expected more than 0, found 0"),
    ],
)
def test_values_that_are_none(given, said):
    with pytest.raises(ConfigError, match=said):
        with_options(STUDY, arguments(given))


def test_trials_above_the_study_s_ceiling_are_the_user_s_mistake():
    with pytest.raises(ConfigError, match=r"--trials 20: `ceiling` is 14, .* `trials` \(20\)"):
        with_options(Budget(trials=14, ceiling=14), arguments(["--trials", "20"]))


def test_a_ceiling_below_the_budget_is_refused():
    with pytest.raises(ValidationError, match=r"`ceiling` is 13, which is below `trials` \(14\)"):
        Budget(trials=14, ceiling=13)


PLANS = [
    (Budget(trials=14), ""),
    (SETTLING, "then at most 7 further trials to settle the answer, until its probability is 0.95"),
    (
        Budget(settle=0.9, ceiling=15),
        "then at most 1 further trial to settle the answer, until its probability is 0.9",
    ),
    (
        Budget(settle=0.9, ceiling=14),
        "no trials left to settle the answer, until its probability is 0.9: set --trials higher",
    ),
]


@pytest.mark.parametrize("budget, line", PLANS)
def test_the_plan_says_how_many_at_most(tmp_path, budget, line):
    assert settling_lines(budget, tmp_path / "not there yet") == [line] * bool(line)


def test_status_says_what_confirmed_and_what_settles(tmp_path):
    advised_run(tmp_path, Table(AGAIN, 5), SETTLING, total=16)
    ledger = ledger_in(tmp_path, budget=SETTLING)
    ledger.ending.advice = Table(AGAIN, 6).advice
    assert ledger.next(21).number == 16
    entries = read_overview(tmp_path).trials
    confirmed, settling = ending_lines(entries, SETTLING, tmp_path)
    assert confirmed == "confirmation: trial 13 (finished): too close to trial 5"
    assert settling == (
        "settling: 3 further trials so far, 1 of them not finished; the last is trial 16: too "
        "close to trial 5"
    )
    assert most_further(SETTLING, tmp_path) == 7, "the same throughout"
    assert ledger.total == 21


def test_status_before_anything_settles(tmp_path):
    advised_run(tmp_path, Table(NEW), Budget(trials=14))
    entries = read_overview(tmp_path).trials
    lines = ending_lines(entries, SETTLING, tmp_path)
    assert [line.split(":")[0] for line in lines] == ["confirmation", "settling"]
    assert "at most 7 further trials" in lines[1]
    assert len(ending_lines(entries, Budget(), tmp_path)) == 1


def test_what_can_be_told_apart_is_said_once_after_the_first_repeat(tmp_path):
    ledger = ledger_in(tmp_path, budget=Budget(trials=14))
    said = []
    ended = after_first_repeat(tmp_path, ledger.study, said.append)
    base = make_record(-1, 0.4, 1.0, "base")
    counts = []
    for number in range(4):
        job = ledger.next(14)
        write_lucky(tmp_path, job)
        if number == 2:  # as the base model may, with several at a time
            write_record(tmp_path, base)
            ended(base)
        ended(ledger.tell(job.number))
        counts.append(len(said))
    assert counts == [0, 0, 3, 3], "a head and a line for each objective"
    assert "as measured by the trials so far" in said[0] and said[1].startswith("  quality: ")
    again = after_first_repeat(tmp_path, ledger.study, said.append)
    again(make_record(1, replicate=1, of=0))
    assert len(said) == 3, "a start that finds it done has said it in its plan"
