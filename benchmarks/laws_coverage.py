"""Coverage of the intervals of a loss's law, on simulated runs with a known truth and the scales of
the default study.

python benchmarks/laws_coverage.py --runs 100
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mtray.analysis.critical_values import critical, least_values
from mtray.analysis.laws import MONO, REPLAY, Law, law, loss_shape, reference
from mtray.analysis.regression import fit, minimised
from mtray.analysis.uncertainty import TAILS, Z95

Array = npt.NDArray[np.float64]
NAMES = ("K", "a", "c", "B", "C", "f")
TRUTH = (0.05, 0.5, 0.9, 8.0, 1.2, 0.15)
LIMIT = 0.05
ENDS = {REPLAY: (0.0, 0.5), MONO: (0.0, 2.0)}  # so wide that the true values lie within
ERROR, SHARED = 0.012, 0.5  # standard error of a difference; what recipes share of its variance


def recipes(n: int, rng: np.random.Generator) -> Array:
    u = rng.random((n, 5))
    columns = [128 * 32 ** u[:, 0], 1e-4 * 20 ** u[:, 1], 0.3 * u[:, 2], u[:, 3], 6 * u[:, 4] // 1]
    return np.stack(columns, axis=1)


def true_gaps(points: Array, at: Array) -> Array:
    """`at`: the recipes whose size and rate count as 1."""
    size, rate = reference(at)
    k, a, c, b, m, f = TRUTH
    above = k * (points[:, 0] / size) ** a * (points[:, 1] / rate) ** c * np.exp(-f * points[:, 4])
    return np.asarray(-above / ((1 + b * points[:, REPLAY]) * (1 + m * points[:, MONO])))


def by_errors(found: Law, values: Array, errors: Array) -> Array:
    """The errors alone drawn anew, about the fitted law; the priors stay where they are."""
    fitted, rng = found.fitted, np.random.default_rng(0)
    drawn = found.gaps(fitted.points) + errors
    drawn = drawn + fitted.misfit**0.5 * rng.standard_normal(errors.shape)
    start = np.broadcast_to(fitted.theta, (len(errors), len(fitted.theta)))
    form = fitted.form
    theta = minimised(form, fitted.points, drawn, fitted.factor, form.middle[None], start)[0]
    return np.asarray(np.quantile(found.shape.natural(theta), TAILS, axis=0))


def by_recipes(found: Law, values: Array, errors: Array) -> Array:
    """Recipes drawn with replacement; of one that is drawn twice the errors are independent."""
    fitted, rng, draws = found.fitted, np.random.default_rng(0), []
    for _ in range(len(errors) // 4):
        rows = rng.integers(len(values), size=len(values))
        own = np.diag(errors.var(axis=0)[rows])
        again = fit(fitted.form, fitted.points[rows], values[rows], own, fitted.theta)
        draws.append(again.theta)
    return np.asarray(np.quantile(found.shape.natural(np.array(draws)), TAILS, axis=0))


def by_slopes(found: Law, values: Array, errors: Array) -> Array:
    """The normal approximation at the maximum, without draws."""
    half = Z95 * np.diag(found.fitted.spread) ** 0.5
    ends = [found.shape.natural(found.fitted.theta + sign * half) for sign in (-1, 1)]
    return np.asarray(np.sort(ends, axis=0))


WAYS: dict[str, Callable[[Law, Array, Array], Array]] = {
    "errors and priors": lambda found, values, errors: found.intervals,
    "errors": by_errors,
    "recipes": by_recipes,
    "slopes": by_slopes,
}


def one(n: int, run: int, misfit: float, ways: list[str]) -> tuple[Array, Array]:
    """Whether each interval holds the truth: (ways, parameters), and of the critical values."""
    rng = np.random.default_rng(run)
    points = recipes(n, rng)
    wide = ERROR * np.exp(0.4 * rng.standard_normal(n))
    errors = wide * (
        SHARED**0.5 * rng.standard_normal((401, 1))
        + (1 - SHARED) ** 0.5 * rng.standard_normal((401, n))
    )
    values = true_gaps(points, points) + errors[0] + misfit * rng.standard_normal(n)
    found = law(loss_shape, points, values, errors[1:])
    intervals = np.stack([WAYS[way](found, values, errors[1:201]) for way in ways])
    held = (intervals[:, 0] <= TRUTH) & (np.array(TRUTH) <= intervals[:, 1])
    return held, np.array([_critical(found, points, column) for column in ENDS])


def _critical(found: Law, points: Array, column: int) -> bool:
    at = np.array([4096, 5e-4, 0.0, 0.0, 0.0])
    grid = np.linspace(*ENDS[column], 401)
    along = np.tile(at, (len(grid), 1))
    along[:, column] = grid
    truth = least_values(-true_gaps(along, points)[None], grid, LIMIT)[0]
    c = critical(found, at, column, ENDS[column], LIMIT)
    return bool(c.low <= truth <= c.high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--ways", default=",".join(WAYS))
    args = parser.parse_args()
    ways = args.ways.split(",")
    print(f"| recipes | misfit | bootstrap of | {' | '.join(NAMES)} | critical replay | mono |")
    print("|" + "---|" * (len(NAMES) + 5))
    for n, misfit in ((14, 0.0), (14, 0.01), (30, 0.0), (30, 0.01)):
        found = [one(n, run, misfit, ways) for run in range(args.runs)]
        held = np.mean([f[0] for f in found], axis=0)
        critical_held = [f"{v:.2f}" for v in np.mean([f[1] for f in found], axis=0)]
        for i, way in enumerate(ways):
            cells = [f"{v:.2f}" for v in held[i]]
            cells += critical_held if way == "errors and priors" else ["", ""]
            print(f"| {n} | {misfit} | {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
