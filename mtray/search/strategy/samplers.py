"""Samplers: Optuna's by name, and the initial space-filling points."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
)

from mtray.errors import ConfigError
from mtray.search_space.unit_cube import at_quantile, divided

STARTUP = 4  # space-filling points before the model is used
BLOCK = 64  # points of a Sobol sequence drawn at a time, a power of two

# (seed, startup) -> sampler
SamplerFactory = Callable[[int, int], optuna.samplers.BaseSampler]
SAMPLERS: dict[str, SamplerFactory] = {
    "gp": lambda seed, startup: optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup),
    "tpe": lambda seed, startup: optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=startup, multivariate=True, constant_liar=True
    ),
    "nsga2": lambda seed, startup: optuna.samplers.NSGAIISampler(seed=seed),
    "nsga3": lambda seed, startup: optuna.samplers.NSGAIIISampler(seed=seed),
    "random": lambda seed, startup: optuna.samplers.RandomSampler(seed=seed),
}
EHVI = "ehvi"  # mtray's own: `mtray.search.strategy.cost_aware`
AUTO = "auto"  # mtray's own
SOBOL = "sobol"  # space-filling points throughout, without a model
NAMES = (AUTO, EHVI, *SAMPLERS, SOBOL)


def check_sampler(name: str) -> None:
    """Raise ConfigError for an unknown sampler."""
    if name not in NAMES:
        raise ConfigError(f"sampler {name!r} is unknown; known: {', '.join(NAMES)}")


def sampler_for(
    name: str, seed: int, number: int, startup: int = STARTUP
) -> optuna.samplers.BaseSampler:
    """Optuna's sampler for trial `number`. It is created anew for each trial, so that suggestions
    do not depend on restarts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](seed * 10_007 + number, startup)


class KnownSpace(optuna.samplers.BaseSampler):
    """Optuna's `sampler` on a study whose points all have the same parameters, the varying ones of
    `space`. Samplers otherwise infer the space from all points for each suggestion, which dominates
    the time from a thousand points on."""

    def __init__(
        self, sampler: optuna.samplers.BaseSampler, space: Mapping[str, BaseDistribution]
    ) -> None:
        self._sampler, self._space = sampler, dict(space)

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
        return self._space

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._sampler.sample_relative(study, trial, search_space)
        return found

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        return self._sampler.sample_independent(study, trial, name, distribution)

    def before_trial(self, study: Any, trial: Any) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        self._sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()


def sobol_points(
    distributions: Mapping[str, BaseDistribution], seed: int
) -> Iterator[dict[str, Any]]:
    """The points of a scrambled Sobol sequence over the space, without end."""
    from scipy.stats import qmc

    engine = qmc.Sobol(len(distributions), seed=seed)
    while True:
        for row in engine.random(BLOCK):
            found = {
                name: at_quantile(d, float(u))
                for (name, d), u in zip(distributions.items(), row, strict=True)
            }
            yield divided(distributions, found)


def space_filling(
    distributions: Mapping[str, BaseDistribution], count: int, seed: int
) -> list[dict[str, Any]]:
    """The first `count` points of `sobol_points`."""
    return list(islice(sobol_points(distributions, seed), count))
