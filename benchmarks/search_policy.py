"""The policy interface of the search benchmark, and mtray's own search behind it.

`ask` returns the next point, given the results reported so far; on a table, `ran` reports the point
evaluated in its place; `report` takes an intermediate value of a trial and returns whether it
continues; `tell` reports how it ended. `watches` is whether a policy uses intermediate values at
all: one that does not runs its trials at the highest fidelity without paying for rungs.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from search_tables import Array, Params, Problem

from mtray.schema import EarlyStopping, Estimate
from mtray.search.early_stopping.rungs import Point, decide, expected_values
from mtray.search.strategy.cost_aware import COST_EXPONENT, Observation, SearchDomain
from mtray.search.strategy.samplers import STARTUP, space_filling
from mtray.search.strategy.suggester import Suggester


class Policy:
    """Interface. `claims_partial`: what was stopped counts as a result, as Ray's OptunaSearch
    has it."""

    watches = False
    claims_partial = False

    def ask(self, number: int) -> Params:
        raise NotImplementedError

    def ran(self, number: int, params: Params) -> None:
        """The row of a table that stands for the suggestion; nothing for who learns from no
        parameters."""

    def report(self, number: int, fidelity: int, values: Array) -> bool:
        return True

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        """`values` of the highest fidelity, or of the one at which the trial was stopped; `cost` in
        the problem's unit."""


class Mtray(Policy):
    """mtray's search: the problem's baselines, a space-filling start, and its `Suggester`, with the
    problem's guesses. With `stopping` its early stopping too, where there are two rungs or more,
    which are paid for.

    Unlike in a sweep the suggestion knows everything that ended before it is asked for, and nothing
    is trained again with another seed.
    """

    def __init__(
        self, problem: Problem, seed: int, sampler: str = "auto", startup: int = STARTUP,
        stopping: bool = False, cost_exponent: float = COST_EXPONENT,
    ) -> None:  # fmt: skip
        self.problem = problem
        where = SearchDomain(problem.distributions, problem.guesses, cost_exponent=cost_exponent)
        self._suggester = Suggester(where, problem.senses, sampler, seed, startup)
        self._start = [
            *problem.references, *space_filling(problem.distributions, startup, seed)
        ]  # fmt: skip
        rungs = problem.shares[:-1]
        self._rule = EarlyStopping(rungs=rungs) if stopping and len(rungs) > 1 else None
        self.watches = self._rule is not None
        self.params: dict[int, Params] = {}
        self._notes: dict[int, dict[str, Any]] = {}  # the sampler's
        self._rungs: dict[int, list[SimpleNamespace]] = {}  # as a TrialRecord holds them
        self._ended: list[SimpleNamespace] = []  # what a TrialRecord says of complete trials

    def ask(self, number: int) -> Params:
        params, notes = (
            (self._start[number], {}) if number < len(self._start)
            else self._suggester.suggest(number)
        )  # fmt: skip
        self.params[number], self._notes[number] = params, notes
        self._suggester.add(number, params, attributes=notes)
        return params

    def ran(self, number: int, params: Params) -> None:
        self._suggester.drop(number)
        self.params[number] = params
        self._suggester.add(number, params, attributes=self._notes[number])

    def _estimates(self, values: Array, fidelity: int) -> dict[str, Estimate]:
        errors = self.problem.errors[fidelity]
        return {
            name: Estimate(value=float(v), error=float(e))
            for name, v, e in zip(self.problem.objectives, values, errors, strict=True)
        }

    def report(self, number: int, fidelity: int, values: Array) -> bool:
        assert self._rule is not None
        mine = Point(number, self._estimates(values, fidelity))
        others = [
            Point(n, rungs[fidelity].objectives)
            for n, rungs in self._rungs.items()
            if len(rungs) > fidelity
        ]
        found = decide(self._rule, fidelity, mine, others, self.problem.objectives)
        rung = SimpleNamespace(
            rung=fidelity, objectives=mine.objectives, dominated_by=found.dominated_by
        )
        self._rungs.setdefault(number, []).append(rung)
        return not found.stop

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        record = SimpleNamespace(
            number=number, rungs=self._rungs.get(number, []),
            state="complete" if complete else "pruned",
        )  # fmt: skip
        if complete:
            record.objectives = self._estimates(values, len(self.problem.shares) - 1)
            self._ended.append(record)
            found = Observation([float(v) for v in values], cost)
            self._suggester.add(number, self.params[number], found)
            return
        # `expected_values` reads nothing of a record but what these hold
        guess = expected_values(record, self._ended, self.problem.objectives)  # type: ignore[arg-type]
        if guess is None:
            self._suggester.drop(number)
        else:
            self._suggester.add(number, self.params[number], Observation(list(guess.values())))
