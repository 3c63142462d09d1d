"""A synthetic response surface, in the shape of published results on fine-tuning language models
for translation.

Quality rises with the logarithm of the number of parallel examples and dips early (Paradigm shift,
Xu et al. 2024); more monolingual text improves it slightly. Retention falls with the number of
examples and with the learning rate, and rises with monolingual and replayed text. The constants are
invented; only the shape is claimed. Nothing in it comes from mtray's own trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from search_tables import Array, Params, Problem

from mtray.analysis.pareto import front_order
from mtray.schema import Sense

SHARES = (0.25, 0.5, 1.0)  # of a trial's steps
ERRORS = np.array([0.007, 0.010])  # standard errors of quality and retention on a usual dev set
OBJECTIVES: dict[str, Sense] = {"quality": "max", "retention": "max"}
RUNG_ERRORS = 2 * ERRORS  # a rung takes a quarter of the segments
START_SECONDS, FULL_SECONDS, RUNG_SECONDS = 15.0, 20.0, 5.0  # start; evaluation in full, at a rung
SECONDS_PER_EXAMPLE = 0.02
FRONT_POINTS = 200  # of the true front, evenly along it
# What a study with a source of each kind has as baselines: parallel text only, mono 1:1, and the
# uniform mix (moved into the ranges; mono 2:1 lies outside). The learning rate is the middle of its
# range, not the best one, and is what the user guesses.
PARALLEL_ONLY: Params = {
    "parallel_size": 4096,
    "mono_ratio": 0.0,
    "replay_fraction": 0.0,
    "frozen_layers": 0,
    "learning_rate": (1e-4 * 2e-3) ** 0.5,
}
REFERENCES = (
    PARALLEL_ONLY,
    PARALLEL_ONLY | {"mono_ratio": 1.0},
    PARALLEL_ONLY | {"parallel_size": 4096 // 3, "mono_ratio": 1.0, "replay_fraction": 0.3},
)


def space() -> dict[str, BaseDistribution]:
    """The ranges of search_spaces/ratio.yaml."""
    return {
        "parallel_size": IntDistribution(128, 4096, log=True),
        "mono_ratio": FloatDistribution(0.0, 1.0),
        "replay_fraction": FloatDistribution(0.0, 0.3),
        "frozen_layers": IntDistribution(0, 5),
        "learning_rate": FloatDistribution(1e-4, 2e-3, log=True),
    }


def examples(p: Mapping[str, Any]) -> Any:
    """Examples of all kinds in the mix."""
    return p["parallel_size"] * (1 + p["mono_ratio"]) / (1 - p["replay_fraction"])


def surface(p: Mapping[str, Any], share: float) -> Array:
    """Quality and retention without noise after `share` of the steps, shape (..., 2); parameters
    are numbers or arrays of one shape."""
    seen = p["parallel_size"] * share
    # the more is frozen, the higher the best rate
    best = np.log10(6e-4) + 0.06 * p["frozen_layers"]
    rate = np.exp(-0.5 * ((np.log10(p["learning_rate"]) - best) / 0.4) ** 2)
    frozen = 1 - 0.02 * p["frozen_layers"] - 0.004 * p["frozen_layers"] ** 2
    learned = 0.045 * np.log2(1 + seen / 250) * rate * frozen
    dip = 0.03 * rate * np.exp(-0.5 * (np.log(seen / 90) / 0.7) ** 2)
    mixed = 0.02 * p["mono_ratio"] * (2 - p["mono_ratio"]) - 0.06 * p["replay_fraction"]
    quality = 0.55 + learned - dip + mixed
    pace = (p["learning_rate"] / 6e-4) ** 0.7 * np.log2(1 + examples(p) * share / 200)
    kept = (1 - 0.4 * p["mono_ratio"]) * (0.4 + 0.6 * np.exp(-p["replay_fraction"] / 0.1))
    lost = 0.15 * pace * kept * (1 - 0.09 * p["frozen_layers"])
    return np.stack(np.broadcast_arrays(quality, np.exp(-lost)), axis=-1)


def seconds(p: Mapping[str, Any], fidelity: int) -> float:
    """Worker seconds from the start to the end of a fidelity's evaluation."""
    trained = SECONDS_PER_EXAMPLE * float(examples(p)) * SHARES[fidelity]
    last = fidelity == len(SHARES) - 1
    rungs = fidelity if last else fidelity + 1
    return START_SECONDS + trained + RUNG_SECONDS * rungs + (FULL_SECONDS if last else 0.0)


def _params(units: Array) -> dict[str, npt.NDArray[Any]]:
    """Points of the unit cube, shape (n, 5), as arrays of parameters."""
    out: dict[str, npt.NDArray[Any]] = {}
    for column, (name, d) in zip(units.T, space().items(), strict=True):
        assert isinstance(d, FloatDistribution | IntDistribution)
        top = d.high + (1 if isinstance(d, IntDistribution) else 0)
        value = d.low * (top / d.low) ** column if d.log else d.low + (top - d.low) * column
        out[name] = np.floor(value) if isinstance(d, IntDistribution) else value
    return out


def true_front(rounds: int = 12, seed: int = 0) -> Array:
    """True values of the front, shape (k, 2): Sobol points, then rounds of small steps from the
    best so far."""
    from scipy.stats import qmc

    rng = np.random.default_rng(seed)
    units = qmc.Sobol(5, seed=seed).random(2**13)
    for step in np.geomspace(0.2, 0.005, rounds):
        order = front_order(surface(_params(units), 1.0))
        best = units[order[_evenly(len(order), 4 * FRONT_POINTS)]]
        moved = best[rng.integers(len(best), size=3000)]
        moved = moved + step * rng.standard_normal(moved.shape) * (rng.random(moved.shape) < 0.5)
        # the ends of a range often hold the optimum
        units = np.concatenate([best, np.clip(moved, 0.0, 1 - 1e-9)])
    values = surface(_params(units), 1.0)
    order = front_order(values)
    return values[order[_evenly(len(order), FRONT_POINTS)]]


def _evenly(count: int, most: int) -> npt.NDArray[np.int64]:
    """Indices of at most `most` of `count` items, evenly along them."""
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


def own_surface() -> Problem:
    """The surface as a problem with three fidelities."""
    from scipy.stats import qmc

    sample = _params(qmc.Sobol(5, seed=1).random(2**10))
    costs = SECONDS_PER_EXAMPLE * examples(sample)
    last = len(SHARES) - 1
    errors = np.array([RUNG_ERRORS] * last + [ERRORS])

    def place(params: Params, taken: set[Any]) -> Any:
        return tuple(params.items())

    def truth(key: Any, k: int) -> Array:
        return surface(dict(key), SHARES[k])

    return Problem(
        name="own surface",
        distributions=space(),
        objectives=OBJECTIVES,
        shares=SHARES,
        place=place,
        truth=truth,
        observe=lambda key, k, rng: truth(key, k) + errors[k] * rng.standard_normal(2),
        cost=lambda key, k: seconds(dict(key), k),
        front=true_front(),
        tolerance=ERRORS,
        errors=errors,
        alone=lambda key: seconds(dict(key), last) - RUNG_SECONDS * last,
        unit=START_SECONDS + float(np.mean(costs)) + FULL_SECONDS,
        references=REFERENCES,
        guesses={"learning_rate": REFERENCES[0]["learning_rate"]},
    )
