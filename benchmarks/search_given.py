"""The same help for every policy of the search benchmark: baselines, guesses and mixtures.

Engines of others know neither a guess nor shares that sum to 1. `Given` lets them search a space of
ordinary ranges in which the same points have the same help as in mtray's own search:

- A parameter with a guess becomes the quantile of the bell around it that mtray's prior is
  (`mtray.search.strategy.cost_aware`, cut off at the ends of the range), so that what is uniform to
  the engine has the guess's density. Unlike mtray's prior it does not fade with the number of
  trials.
- Shares become the coordinates that mtray searches them by (`mtray.search_space.shares`).
- The problem's baselines come first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution
from scipy.special import ndtr, ndtri
from search_policy import Policy
from search_tables import Array, Params, Problem

from mtray.search.strategy.cost_aware import BELIEF_WIDTH
from mtray.search_space.shares import ShareDistribution
from mtray.search_space.unit_cube import at_quantile, divided, unit_of

BELOW_ONE = 1 - 1e-9


class Given(Policy):
    """The policy that `make` gives for a problem, on the space above. `guess`: with the problem's
    guesses."""

    def __init__(self, problem: Problem, make: Callable[[Problem], Policy], guess: bool) -> None:
        self._distributions = problem.distributions
        guesses = problem.guesses if guess else {}
        self._guesses = {n: unit_of(problem.distributions[n], v) for n, v in guesses.items()}
        searched = {n: self._range(n, d) for n, d in problem.distributions.items()}
        given = replace(problem, distributions=searched, guesses={})
        first = tuple(self._inside(params) for params in problem.references)
        self._policy = make(replace(given, references=first))
        self.watches, self.claims_partial = self._policy.watches, self._policy.claims_partial

    def ask(self, number: int) -> Params:
        return self._outside(self._policy.ask(number))

    def ran(self, number: int, params: Params) -> None:
        self._policy.ran(number, self._inside(params))

    def report(self, number: int, fidelity: int, values: Array) -> bool:
        return self._policy.report(number, fidelity, values)

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        self._policy.tell(number, values, complete, cost)

    def _range(self, name: str, d: BaseDistribution) -> BaseDistribution:
        own = name in self._guesses or isinstance(d, ShareDistribution)
        return FloatDistribution(0.0, 1.0) if own else d

    def _outside(self, params: Params) -> Params:
        """The problem's parameters."""
        found = dict(params)
        for name, d in self._distributions.items():
            if name in self._guesses:
                found[name] = at_quantile(d, bell_quantile(self._guesses[name], params[name]))
            elif isinstance(d, ShareDistribution):
                found[name] = at_quantile(d, params[name])
        return divided(self._distributions, found)

    def _inside(self, params: Params) -> Params:
        """The inverse."""
        found = dict(params)
        for name, d in self._distributions.items():
            if name in self._guesses:
                found[name] = bell_share(self._guesses[name], unit_of(d, params[name]))
            elif isinstance(d, ShareDistribution):
                found[name] = unit_of(d, params[name])
        return found


def bell_quantile(centre: float, share: float) -> float:
    """The coordinate in [0, 1) below which a share of the bell around `centre` lies."""
    low, high = _ends(centre)
    found = centre + BELIEF_WIDTH * ndtri(low + (high - low) * share)
    return float(np.clip(found, 0.0, BELOW_ONE))


def bell_share(centre: float, unit: float) -> float:
    """The inverse of `bell_quantile`."""
    low, high = _ends(centre)
    return float(np.clip((ndtr((unit - centre) / BELIEF_WIDTH) - low) / (high - low), 0.0, 1.0))


def _ends(centre: float) -> tuple[float, float]:
    return float(ndtr(-centre / BELIEF_WIDTH)), float(ndtr((1 - centre) / BELIEF_WIDTH))
