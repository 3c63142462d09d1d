"""Runs one policy on one problem under a simulated clock, and records the value of its front over
time."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from search_policy import Policy
from search_tables import Array, Problem

from mtray.analysis.pareto import maximised, non_dominated

DRAWS = 2000  # of the bootstrap over seeds


@dataclass(frozen=True)
class Ended:
    """A trial that ended. `cost`: worker time of all workers until then, in full trials of mean
    cost. `values`: observed, of the highest fidelity where `complete`, else where it stopped."""

    number: int
    key: Any
    cost: float
    values: Array
    complete: bool


def simulate(
    problem: Problem, policy: Policy, seed: int, workers: int = 4, budget: float = 40
) -> list[Ended]:
    """The trials that end within `budget` full trials of mean cost, spread over `workers`, in the
    order of their ends.

    A free worker asks at once and asking takes no time. The noise of a value depends on the seed,
    the trial's number and the fidelity, so it is the same for all policies.
    """
    last, until = len(problem.shares) - 1, budget * problem.unit / workers
    keys: list[Any] = []
    begun: list[float] = []
    events: list[
        tuple[float, int, int]
    ] = []  # time, number, fidelity: the next that can end is first
    ended: list[Ended] = []

    def due(number: int, fidelity: int) -> float:
        if policy.watches:
            return begun[number] + problem.cost(keys[number], fidelity)
        return begun[number] + problem.alone(keys[number])

    def start(now: float) -> None:
        number = len(keys)
        key = problem.place(policy.ask(number), set(keys))
        if key is None:
            return
        if problem.row is not None:
            policy.ran(number, problem.row(key))
        keys.append(key)
        begun.append(now)
        first = 0 if policy.watches else last
        heapq.heappush(events, (due(number, first), number, first))

    for _ in range(workers):
        start(0.0)
    while events and events[0][0] <= until:
        now, number, fidelity = heapq.heappop(events)
        rng = np.random.default_rng([seed, number, fidelity])
        values = problem.observe(keys[number], fidelity, rng)
        if fidelity < last and policy.report(number, fidelity, values):
            heapq.heappush(events, (due(number, fidelity + 1), number, fidelity + 1))
            continue
        policy.tell(number, values, fidelity == last, now - begun[number])
        cost = now * workers / problem.unit
        ended.append(Ended(number, keys[number], cost, values, fidelity == last))
        start(now)
    return ended


def chosen(problem: Problem, ended: Sequence[Ended]) -> list[Ended]:
    """The trials on the front of the observed values."""
    if not ended:
        return []
    mask = non_dominated(maximised([e.values for e in ended], problem.senses))
    return [e for e, on in zip(ended, mask, strict=True) if on]


def true_values(problem: Problem, found: Sequence[Ended]) -> Array:
    """Noise-free values at the highest fidelity, shape (n, m)."""
    last = len(problem.shares) - 1
    values = np.array([problem.truth(e.key, last) for e in found])
    return values.reshape(len(found), len(problem.objectives))


def curves(
    problem: Problem, ended: Sequence[Ended], costs: Sequence[float]
) -> tuple[list[float], list[float]]:
    """At each cost: hypervolume of the true values of the front a policy would show, as a share of
    the true front's; and the share of the true front that it recovered. Only finished trials of the
    highest fidelity are on a front."""
    volumes, recovered = [], []
    complete = [e for e in ended if e.complete]
    for cost in costs:
        front = chosen(problem, [e for e in complete if e.cost <= cost])
        values = true_values(problem, front)
        volumes.append(problem.share_of_front(values))
        recovered.append(problem.recovered(values))
    return volumes, recovered


def claims(problem: Problem, ended: Sequence[Ended]) -> dict[str, float]:
    """What a policy that lets stopped trials count would show at the end: the hypervolume it
    claims, the hypervolume of the true values of the same configurations trained in full (both as
    shares of the true front's), and the share of its front that was never trained in full."""
    front = chosen(problem, ended)
    return {
        "claimed": problem.share_of_front(np.array([e.values for e in front])),
        "true": problem.share_of_front(true_values(problem, front)),
        "stopped": float(np.mean([not e.complete for e in front])) if front else 0.0,
    }


def interval(values: npt.ArrayLike) -> tuple[float, float, float]:
    """Mean and a 95 % bootstrap interval (percentiles) of values, shape (seeds,)."""
    found = np.asarray(values, dtype=np.float64)
    index = np.random.default_rng(0).integers(len(found), size=(DRAWS, len(found)))
    low, high = np.percentile(found[index].mean(axis=1), [2.5, 97.5])
    return float(found.mean()), float(low), float(high)


def first_reached(costs: Sequence[float], means: npt.ArrayLike, level: float) -> float | None:
    """The first of `costs` at which a mean curve is at `level` or above; None where it never is."""
    reached = np.flatnonzero(np.asarray(means) >= level - 1e-12)
    return float(costs[reached[0]]) if len(reached) else None


def verdict(
    costs: Sequence[float], ours: npt.ArrayLike, rivals: dict[str, npt.ArrayLike]
) -> dict[str, Any]:
    """Our hypervolumes, shape (seeds, costs), against those of the rivals with the same seeds.

    `differences`: for each rival the mean over all costs and the value at the last, ours minus the
    rival's, with paired 95 % bootstrap intervals.
    `below`: the costs at which the rival with the best mean is above us by more than noise (the
    interval of the paired difference lies below 0), with that rival and the difference.
    """
    mine, others = np.asarray(ours), {n: np.asarray(v) for n, v in rivals.items()}
    below = []
    for i, cost in enumerate(costs):
        best = max(others, key=lambda n: float(others[n][:, i].mean()))
        mean, low, high = interval(mine[:, i] - others[best][:, i])
        if high < 0:
            below.append(
                {"cost": float(cost), "rival": best, "difference": mean, "low": low, "high": high}
            )
    differences = {
        name: (interval((mine - v).mean(axis=1)), interval(mine[:, -1] - v[:, -1]))
        for name, v in others.items()
    }
    return {"differences": differences, "below": below, "budgets": len(costs)}
