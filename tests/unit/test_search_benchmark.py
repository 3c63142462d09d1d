"""The search benchmark's clock, policies and statistics, without waiting for a model."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from search_factory import rows

from mtray.search_space.shares import ShareDistribution

# after search_factory, which knows where they lie
import search  # isort: skip
from search_given import Given  # isort: skip
from search_clock import Ended, claims, curves, first_reached, interval, simulate, verdict  # isort: skip
from search_policy import Mtray, Policy  # isort: skip
from search_rivals import POLICIES, VARIANTS, Moasha, RayOptuna, missing  # isort: skip
from search_surface import own_surface  # isort: skip
from search_tables import from_rows  # isort: skip


@pytest.fixture
def problem():
    return from_rows("made-up", rows())


@pytest.fixture(scope="module")
def hills():
    return own_surface()


class InOrder(Policy):
    """Asks for x = 0, 1, 2, .. and remembers what it was told."""

    def __init__(self, watches=False, stops=()):
        self.watches, self.stops, self.seen = watches, stops, []

    def ask(self, number):
        self.seen.append(("ask", number))
        return {"p_x": number, "p_y": 0.5 * number}

    def report(self, number, fidelity, values):
        self.seen.append(("report", number, fidelity))
        return (number, fidelity) not in self.stops

    def tell(self, number, values, complete, cost):
        self.seen.append(("tell", number, complete))


def test_the_clock_charges_what_a_trial_costs_and_tells_when_it_ends(problem):
    policy = InOrder()
    ended = simulate(problem, policy, seed=1, workers=2, budget=4)
    # two workers, 30 s each: ends at 30 and 60 s; 4 trials of 30 s are 60 s on two workers
    assert [(e.number, e.key, e.cost) for e in ended] == [
        (0, "c0", 2), (1, "c1", 2), (2, "c2", 4), (3, "c3", 4),
    ]  # fmt: skip
    assert policy.seen[:6] == [
        ("ask", 0), ("ask", 1), ("tell", 0, True), ("ask", 2), ("tell", 1, True), ("ask", 3),
    ]  # fmt: skip


def test_a_stopped_trial_frees_its_worker_and_is_no_point_of_the_front(problem):
    policy = InOrder(watches=True, stops={(0, 0), (1, 1)})
    ended = simulate(problem, policy, seed=1, workers=1, budget=3)
    assert [(e.number, e.cost, e.complete) for e in ended] == [
        (0, pytest.approx(1 / 3), False), (1, pytest.approx(1), False), (2, pytest.approx(2), True),
        (3, pytest.approx(3), True),
    ]  # fmt: skip
    assert policy.seen[1:3] == [("report", 0, 0), ("tell", 0, False)]
    volumes, recovered = curves(problem, ended, [1, 2, 3])
    assert volumes[0] == recovered[0] == 0
    assert recovered[1:] == pytest.approx([1 / 5, 2 / 5]) and volumes[1] < volumes[2] < 1


def test_no_more_trials_than_rows(problem):
    assert len(simulate(problem, InOrder(), seed=1, workers=4, budget=100)) == 6


def test_noise_is_the_same_for_all_policies_and_the_front_is_chosen_by_what_is_seen(hills):
    problem = hills
    size = problem.distributions["parallel_size"].high
    params = {"parallel_size": size, "mono_ratio": 1.0, "replay_fraction": 0.1,
              "frozen_layers": 0, "learning_rate": 6e-4}  # fmt: skip

    class Fixed(InOrder):
        def ask(self, number):
            return params

    first, other = (simulate(problem, Fixed(), seed, 2, 12) for seed in (1, 2))
    again = simulate(problem, Fixed(), 1, 3, 12)
    assert first[0].values.tolist() == again[0].values.tolist() != other[0].values.tolist()
    true = problem.truth(first[0].key, 2)
    assert abs(first[0].values - true).max() < 5 * 0.01
    volumes, _ = curves(problem, first, [12])
    assert volumes[0] == pytest.approx(problem.share_of_front(true[None]))


def test_what_a_policy_claims_of_stopped_trials_is_set_against_the_truth(problem):
    ended = [
        Ended(0, "c1", 1, problem.truth("c1", 2), True),
        Ended(1, "c5", 1, np.array([9.0, 9.0]), False),
    ]
    found = claims(problem, ended)
    assert found["stopped"] == 1 and found["true"] == 0 and found["claimed"] > 1


def test_early_stopping_is_the_search_s_own_rule(hills):
    policy = Mtray(hills, seed=1, sampler="random", stopping=True)
    assert policy.watches
    good, bad = np.array([0.8, 0.9]), np.array([0.5, 0.3])
    for number in range(5):
        policy.ask(number)
        assert policy.report(number, 0, good) and policy.report(number, 1, good)
        policy.tell(number, good, True, 1.0)
    policy.ask(5)
    assert policy.report(5, 0, bad), "never at the first rung"
    assert not policy.report(5, 1, bad)
    policy.tell(5, bad, False, 1.0)
    # the sampler hears what it would have come to, no front does
    assert policy._suggester.finished == 6
    assert not Mtray(hills, seed=1, stopping=False).watches
    assert not Mtray(from_rows("one rung", rows(fidelities=(0, 1))), seed=1).watches


def test_only_the_suggester_s_points_are_evaluated(problem):
    ended = simulate(problem, Mtray(problem, 1, "random", stopping=False), 1, 2, 6)
    assert sorted(e.key for e in ended) == [f"c{i}" for i in range(6)]


@pytest.mark.parametrize(
    "name", ["mtray tpe", "mtray", "optuna GP", "optuna NSGA-II", "optuna TPE"]
)
def test_on_a_table_a_policy_is_told_the_row_that_ran(name):
    """All that a policy's sampler learns from are rows, each with its own values."""
    problem = from_rows("made-up", rows(points=40))
    policy = {**POLICIES, **VARIANTS}[name](problem, 1)
    ended = simulate(problem, policy, 1, workers=2, budget=14)
    own = isinstance(policy, Mtray)
    study = policy._suggester._shadow._study if own else policy._policy._study
    found = sorted((t.params["p_y"], tuple(t.values)) for t in study.trials if t.values)
    wanted = sorted((problem.row(e.key)["p_y"], tuple(e.values)) for e in ended)
    assert len(found) == len(ended) > 10 and found == wanted
    told = [t for t in study.trials if t.values]
    if name == "optuna NSGA-II":
        assert all(any("generation" in key for key in t.system_attrs) for t in told)


def test_rays_search_is_told_the_row_that_ran():
    pytest.importorskip("ray.tune")
    problem = from_rows("made-up", rows(points=40))
    policy = RayOptuna(problem, 1)
    ended = simulate(problem, policy, 1, workers=2, budget=14)
    told = sorted(t.params["p_y"] for t in policy._study.trials if t.values)
    assert told == sorted(problem.row(e.key)["p_y"] for e in ended) and len(told) > 10


def test_rays_search_lets_stopped_trials_count():
    pytest.importorskip("ray.tune")
    problem = from_rows("made-up", rows(points=40))
    ended = simulate(problem, RayOptuna(problem, 1, asha=True), 1, 2, 12)
    assert {e.complete for e in ended} == {True, False}


@pytest.mark.skipif("syne-tune MOASHA" in missing(), reason="syne-tune is not installed")
def test_moasha_stops_trials():
    problem = from_rows("made-up", rows(points=40))
    ended = simulate(problem, Moasha(problem, 1), 1, 2, 12)
    assert {e.complete for e in ended} == {True, False}


def test_intervals_and_verdicts():
    mean, low, high = interval([1.0, 2.0, 3.0])
    assert mean == 2 and 1 <= low < 2 < high <= 3
    assert interval([1.0, 1.0]) == (1, 1, 1)
    assert first_reached([1, 2, 3], [0.1, 0.5, 0.6], 0.5) == 2
    assert first_reached([1, 2, 3], [0.1, 0.5, 0.6], 0.7) is None
    wobble = np.array([[0.0], [0.01], [0.02]])
    ours = wobble + np.array([0.2, 0.7, 0.9])
    rivals = {"slow": wobble + np.array([0.1, 0.3, 0.7]), "early": wobble + np.full(3, 0.4)}
    found = verdict([10, 20, 30], ours, rivals)
    assert found["differences"] == {
        "slow": (pytest.approx([0.7 / 3] * 3), pytest.approx([0.2] * 3)),
        "early": (pytest.approx([0.2] * 3), pytest.approx([0.5] * 3)),
    }
    assert [(b["cost"], b["rival"]) for b in found["below"]] == [(10, "early")]
    assert found["below"][0]["difference"] == pytest.approx(-0.2)
    worse = verdict([10, 20, 30], wobble + np.array([0.0, 0.1, 0.2]), rivals)
    assert len(worse["below"]) == 3


GUESSED = {
    "x": FloatDistribution(1e-5, 1e-2, log=True),
    "n": IntDistribution(1, 100, log=True),
    **{name: ShareDistribution("mono", 0.6, 3) for name in ("a", "b", "c")},
}


class Remembers(Policy):
    def __init__(self, problem):
        self.problem, self.rows = problem, {}

    def ask(self, number):
        return {"x": 0.5, "n": 7, "a": 0.1, "b": 0.6, "c": 0.6}

    def ran(self, number, params):
        self.rows[number] = params


@pytest.mark.parametrize("guess", [True, False])
def test_engines_of_others_are_given_baselines_guesses_and_mixtures(problem, guess):
    first = {"x": 2e-4, "n": 30, "a": 0.2, "b": 0.4, "c": 0.0}
    whole = replace(
        problem, distributions=GUESSED, guesses={"x": 1e-4}, references=(first,), row=None
    )
    given = Given(whole, Remembers, guess)
    inner = given._policy.problem
    share, number = inner.distributions["a"], inner.distributions["n"]
    assert (share.low, share.high, number) == (0, 1, GUESSED["n"])
    assert not isinstance(share, ShareDistribution) and not inner.guesses
    asked = given.ask(0)
    assert sum(asked[name] for name in "abc") == pytest.approx(0.6)
    # what is uniform to the engine has the guess's density: its median is next to the guess
    assert asked["x"] == pytest.approx(1.25e-4 if guess else 0.5, rel=0.05)
    given.ran(0, first)
    assert given._policy.rows[0] == inner.references[0]
    assert given._outside(inner.references[0]) == pytest.approx(first)


def test_every_policy_has_a_row_with_and_one_without_the_guess():
    without = [name for name in POLICIES if not name.endswith(search.GUESSING)]
    assert list(POLICIES) == [*without, *(f"{name}{search.GUESSING}" for name in without)]


def test_finished_runs_are_kept_and_not_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "ProcessPoolExecutor", Here)
    ran = []
    monkeypatch.setattr(search, "run_one", lambda *job: ran.append(job) or {"cpu": len(ran)})
    jobs = [("t", "random", seed, 4, 40) for seed in (1, 2, 3)]
    keep = tmp_path / "runs.jsonl"
    first = list(search.finished(jobs[:2], 1, keep))
    again = list(search.finished(jobs, 1, keep))
    assert ran == jobs and again[:2] == first and again[2] == (jobs[2], {"cpu": 3})
    ((_, anew),) = search.finished(jobs[:1], 1, None)
    assert anew == {"cpu": 4}, "only with --keep"


class Here:
    """In place of a pool of processes."""

    def __init__(self, *args, **options):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass

    map = staticmethod(map)


def test_the_command_prints_what_it_found(tmp_path, capsys, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.Table.from_pylist(rows()), tmp_path / "t.parquet")

    monkeypatch.setattr(search, "ProcessPoolExecutor", Here)
    command = ["search.py", "--problems", "regmix", "--regmix", str(tmp_path / "none"), "--table",
               str(tmp_path / "t.parquet"), "--seeds", "2", "--budget", "4",
               "--policies", "random", "optuna NSGA-II"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    search.main()
    shown = capsys.readouterr()
    assert "| random |" in shown.out and "2 seeds" in shown.out
    assert "RegMix's tables are not in" in shown.err
    monkeypatch.setattr(sys, "argv", [*command, "--json"])
    search.main()
    found = json.loads(capsys.readouterr().out)
    assert found[0]["problem"] == "t.parquet"
    assert len(found[0]["policies"]["random"]["hypervolume"]) == len(found[0]["costs"])
