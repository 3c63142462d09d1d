"""A search with any rule of early stopping (`rungs_rules.py`), as a policy of the search benchmark,
and a search whose suggestions were recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rungs_rules import Oracle, Rule
from search_policy import Policy
from search_tables import Array, Params, Problem

from mtray.schema import Estimate
from mtray.search.early_stopping.rungs import Point
from mtray.search_space.unit_cube import at_quantile


@dataclass(frozen=True)
class RungProblem:
    """A problem whose fidelities but the last are rungs.

    - `key_of`: the configuration with these parameters.
    - `errors`: standard errors that a trial of a configuration itself reports at a rung, shape
      (m,): the bootstrap's over segments.
    - `holds`: whether the problem has a configuration.
    """

    problem: Problem
    key_of: Callable[[Params], Any]
    errors: Callable[[Any, int], Array]
    holds: Callable[[Any], bool]


@dataclass
class Spending:
    """Seconds of ended trials. `alone`: what they would have taken without rungs; `saved`: by
    ending; `rungs`: for the rungs of those that were not ended."""

    alone: float = 0.0
    saved: float = 0.0
    rungs: float = 0.0
    stopped: list[Any] = field(default_factory=list)


class Recorded(Policy):
    """Suggests what another search suggested, in its order, then random points (a Sobol sequence
    would repeat its start). It does not react to anything, so that rules are compared on the same
    recipes; a search that has lost the values of ended trials is a little worse than this one."""

    def __init__(self, of: Problem, suggested: Sequence[Params], seed: int) -> None:
        self._suggested, self._distributions = suggested, of.distributions
        self._rng = np.random.default_rng(seed)

    def ask(self, number: int) -> Params:
        if number < len(self._suggested):
            return self._suggested[number]
        return {
            n: at_quantile(d, float(self._rng.random())) for n, d in self._distributions.items()
        }


class Recorder(Policy):
    """Keeps what a `search` suggested (on a table, the rows that ran) as `suggested`."""

    def __init__(self, search: Policy) -> None:
        self._search = search
        self.suggested: list[Params] = []

    def ask(self, number: int) -> Params:
        self.suggested.append(self._search.ask(number))
        return self.suggested[-1]

    def ran(self, number: int, params: Params) -> None:
        self._search.ran(number, params)
        self.suggested[number] = params

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        self._search.tell(number, values, complete, cost)


class Stopping(Policy):
    """A `search` under a rule; baselines are measured at rungs and never end there. The search is
    told of an ended trial what it would have come to: what it had, and what the complete trials
    that were better than it (if there are none, all complete trials) gained from there on. With
    `seed_errors` the rule is given the errors of differences between trials on the same segments
    (deviations over seeds) in place of those that a trial reports."""

    watches = True

    def __init__(
        self, of: RungProblem, search: Policy, rule: Rule | None = None, seed_errors: bool = False
    ) -> None:
        self._of, self._problem, self._search = of, of.problem, search
        self._rule = rule or Oracle(self._end)
        self._seed_errors = seed_errors
        self._params: dict[int, Params] = {}
        self._rungs: list[dict[int, Point]] = [{} for _ in of.problem.shares[:-1]]
        self._better: dict[int, tuple[int, ...]] = {}
        self._ended: dict[int, Array] = {}
        self.spending = Spending()

    def ask(self, number: int) -> Params:
        self._params[number] = self._search.ask(number)
        return self._params[number]

    def ran(self, number: int, params: Params) -> None:
        self._search.ran(number, params)
        self._params[number] = params

    def report(self, number: int, fidelity: int, values: Array) -> bool:
        errors = self._errors(number, fidelity)
        estimates = {
            name: Estimate(value=float(v), error=float(e))
            for name, v, e in zip(self._problem.objectives, values, errors, strict=True)
        }
        mine = Point(number, estimates, number >= len(self._problem.references))
        others = list(self._rungs[fidelity].values())
        stops, better = self._rule.judge(fidelity, mine, others, self._problem.objectives)
        self._rungs[fidelity][number], self._better[number] = mine, better
        return not (stops and mine.may_end)

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        key = self._of.key_of(self._params[number])
        alone = self._problem.alone(key)
        self.spending.alone += alone
        if complete:
            self.spending.rungs += cost - alone
            self._ended[number] = np.asarray(values, dtype=np.float64)
            self._search.tell(number, values, True, cost)
            return
        self.spending.saved += alone - cost
        self.spending.stopped.append(key)
        rung = max(k for k, found in enumerate(self._rungs) if number in found)
        whole = cost * self._problem.shares[-1] / self._problem.shares[rung]
        self._search.tell(number, self._expected(number, rung, values), True, whole)

    def _errors(self, number: int, fidelity: int) -> Array:
        if self._seed_errors:
            return np.asarray(self._problem.errors[fidelity])
        return self._of.errors(self._of.key_of(self._params[number]), fidelity)

    def _end(self, number: int) -> Array:
        key = self._of.key_of(self._params[number])
        return self._problem.truth(key, len(self._problem.shares) - 1)

    def _expected(self, number: int, rung: int, values: Array) -> Array:
        if isinstance(self._rule, Oracle):
            return self._end(number)
        known = [n for n in self._ended if n in self._rungs[rung]]
        known = [n for n in known if n in self._better[number]] or known
        gains = [self._ended[n] - self._at(n, rung) for n in known]
        return values + np.mean(gains, axis=0) if gains else values

    def _at(self, number: int, rung: int) -> Array:
        return np.array([e.value for e in self._rungs[rung][number].objectives.values()])
