"""Few parameters fitted to few values with known joint errors: generalised least squares with
normal priors, in batches. Arrays in, arrays out.

The measured values y have the joint error covariance S, and no form is exact, so

    y = f(theta, points) + misfit + error,   misfit ~ N(0, t I),   error ~ N(0, S),

with a normal prior for every parameter. theta is the maximum a posteriori for V = S + t I, from
several starting points; t solves r' V^-1 r = n - (parameters that the values determine) (Paule &
Mandel 1982, "Consensus values and weighting factors").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from mtray.analysis.triangular import diagonal_of, factored, inverse_with, solved, turned

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
STEPS = 200  # maximum steps of Levenberg-Marquardt
ENOUGH = 1e-7  # relative improvement below which it stops
ROUNDS = 4  # of alternately fitting theta and t
LEAST_MISFIT = 1e-3  # standard deviation, in units of the values' errors or their size
WIDTH = 1e-5  # of central differences, in units of the prior's deviation
STARTS = 8
# deviations of the linear model's priors, in units of `size_of`
LEVEL_WIDTH = 3.0
SLOPE_WIDTH = 1.0
MOST_DAMPING = 1e8
ROUNDING = 1e-9  # of a coordinate's values, relative: one that varies by less is the same for all


@dataclass(frozen=True)
class Form:
    """A function of points with its priors.

    - `names`: of the p parameters.
    - `middle`, `deviation`, shape (p,): of their normal priors.
    - `mean`: maps parameters (..., p) and points (n, d) to values (..., n).
    """

    names: tuple[str, ...]
    middle: Array
    deviation: Array
    mean: Callable[[Array, Array], Array]

    def slopes(self, theta: Array, points: Array) -> Array:
        """Derivatives of `mean` with respect to the parameters, shape (..., n, p)."""
        steps = WIDTH * np.diag(self.deviation)
        there = self.mean(theta[..., None, :] + steps, points)
        back = self.mean(theta[..., None, :] - steps, points)
        return np.asarray(np.moveaxis(there - back, -2, -1) / (2 * WIDTH * self.deviation))


@dataclass(frozen=True)
class RegressionFit:
    """A form fitted to values.

    - `theta`, shape (p,): the parameters.
    - `misfit`: its variance t.
    - `factor`, shape (n, n), or (n,) of a diagonal V: lower Cholesky factor of V.
    """

    form: Form
    points: Array
    values: Array
    theta: Array
    misfit: float
    factor: Array

    @cached_property
    def spread(self) -> Array:
        """Covariance of theta, from the slopes at the maximum, shape (p, p)."""
        slopes = solved(self.factor, self.form.slopes(self.theta, self.points))
        return np.asarray(np.linalg.inv(slopes.T @ slopes + np.diag(self.form.deviation**-2)))

    def predict(
        self, at: Array, cross: Array | None = None, own: Array | None = None
    ) -> tuple[Array, Array]:
        """As `mtray.analysis.leave_one_out.Predict`: universal kriging (Rasmussen & Williams 2006,
        section 2.7) with the form's slopes as basis functions."""
        cross = np.zeros((len(at), len(self.values))) if cross is None else cross
        own = np.zeros(len(at)) if own is None else own
        gain = turned(self.factor, cross.T).T
        mean = self.form.mean(self.theta, at)
        mean = mean + gain @ (self.values - self.form.mean(self.theta, self.points))
        slopes = self.form.slopes(self.theta, at)
        slopes = slopes - gain @ self.form.slopes(self.theta, self.points)
        of_theta = np.einsum("ip,pq,iq->i", slopes, self.spread, slopes)
        return mean, of_theta + self.misfit + own - (gain * cross).sum(axis=1)

    def left_out(self) -> tuple[Array, Array]:
        """Leave-one-out predictions of every measurement: means and standard deviations, including
        the value's own error, each of shape (n,). For a form that is linear in its parameters. The
        misfit stays as fitted to all values, so that one inverse replaces n fits (Rasmussen &
        Williams 2006, sections 2.7 and 5.4.2)."""
        slopes = self.form.slopes(self.form.middle, self.points)
        precision, middle = inverse_with(self.factor, slopes * self.form.deviation)
        apart = self.values - self.form.mean(self.form.middle, self.points)
        off = turned(self.factor, apart[:, None])[:, 0] - middle @ (middle.T @ apart)
        variance = 1 / precision
        return self.values - off * variance, np.sqrt(variance)

    def resampled(self, errors: Array, seed: int = 0) -> Array:
        """Parameters fitted to values with other errors, shape (draws, p).

        `errors`, shape (draws, n), are drawn errors. A misfit is added to each, and every prior is
        centred at a draw from itself. In a linear form that gives the posterior (Bardsley et al.
        2014, "Randomize-then-optimize"); with fixed prior centres, a parameter that the values do
        not determine would appear certain.
        """
        rng = np.random.default_rng(seed)
        shape, p = errors.shape, len(self.theta)
        values = self.values + errors + self.misfit**0.5 * rng.standard_normal(shape)
        middles = self.form.middle + self.form.deviation * rng.standard_normal((shape[0], p))
        starts = np.broadcast_to(self.theta, (shape[0], p))
        return minimised(self.form, self.points, values, self.factor, middles, starts)[0]


def fit(
    form: Form, points: Array, values: Array, covariance: Array, start: Array | None = None
) -> RegressionFit:
    """Fit a form to `points` (n, d), `values` (n,), `covariance` (n, n) of the values' errors.
    `start`, shape (p,): the only starting point, instead of several. Deterministic."""
    least = LEAST_MISFIT**2 * (float(np.trace(covariance)) or float(values @ values) or 1.0)
    least /= len(values)
    axes, lengths = None, diagonal_of(covariance)
    if lengths is None:
        lengths, axes = np.linalg.eigh(covariance)
    lengths, misfit = np.maximum(lengths, 0.0), least
    starts = _starts(form) if start is None else start[None]
    middle = form.middle[None]
    for _ in range(ROUNDS):
        factor = factored(covariance, misfit)
        found, costs = minimised(form, points, values[None], factor, middle, starts)
        fitted = RegressionFit(form, points, values, found[costs.argmin()], misfit, factor)
        off = values - form.mean(fitted.theta, points)
        along = off if axes is None else axes.T @ off
        misfit = max(least, _misfit(along**2, lengths, len(values) - _determined(fitted)))
        if misfit == fitted.misfit:
            break
        starts = fitted.theta[None]
    return fitted


def size_of(values: Array, covariance: Array) -> float:
    """The greater of the root mean squares of the values and of their errors, a scale for weak
    priors. 1 if both are 0."""
    return float(max(np.mean(values**2), np.mean(np.diag(covariance))) ** 0.5) or 1.0


def constant_fit(points: Array, values: Array, covariance: Array) -> RegressionFit:
    """One value for all points: the baseline that a model must beat. A `leave_one_out.Fit`."""
    return linear_fit(points[:, :0], values, covariance)


def linear_fit(points: Array, values: Array, covariance: Array) -> RegressionFit:
    """An intercept and a slope for each coordinate, in units of its standard deviation, with weak
    priors. A `leave_one_out.Fit`."""
    middle, wide = points.mean(axis=0), points.std(axis=0)
    # the standard deviation of equal values is not always 0
    varies = wide > ROUNDING * np.abs(points).max(axis=0, initial=0.0)
    d, unit = points.shape[1], size_of(values, covariance)

    def mean(theta: Array, at: Array) -> Array:
        scaled = (at[:, :d] - middle) / np.where(varies, wide, 1.0)
        return np.asarray(theta[..., :1] + theta[..., 1:] @ scaled.T)

    names = ("mean", *(f"slope {i}" for i in range(d)))
    form = Form(names, np.zeros(d + 1), unit * np.array([LEVEL_WIDTH, *[SLOPE_WIDTH] * d]), mean)
    return fit(form, points, values, covariance, np.zeros(d + 1))


def _starts(form: Form) -> Array:
    """The prior's centre, and draws from the prior."""
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((STARTS - 1, len(form.middle)))
    return np.vstack([form.middle, form.middle + form.deviation * drawn])


def _determined(fitted: RegressionFit) -> float:
    """Effective number of parameters that the values, not the prior, determine."""
    by_prior = np.diag(fitted.spread) / fitted.form.deviation**2
    return float(len(by_prior) - by_prior.sum())


def _misfit(squares: Array, lengths: Array, freedom: float) -> float:
    """The solution t of sum(squares / (lengths + t)) = freedom; 0 if the errors alone explain the
    residuals."""
    most = float(squares.sum()) / max(freedom, 1e-6)
    if not most:
        return 0.0

    def over(t: float) -> float:
        return float((squares / (lengths + t)).sum()) - freedom

    low = 1e-12 * most
    return float(brentq(over, low, most, rtol=1e-6)) if over(low) > 0 > over(most) else 0.0


def minimised(
    form: Form, points: Array, values: Array, factor: Array, middles: Array, starts: Array
) -> tuple[Array, Array]:
    """Least squares for a batch (m) of starts (m, p), values (m or 1, n) and prior centres (m or 1,
    p): parameters (m, p) and their costs (m,). Levenberg-Marquardt, each row with its own damping,
    until no row improves."""
    root = 1 / factor if factor.ndim == 1 else solved(factor, np.eye(len(factor)))
    targets = np.broadcast_to(values, (len(starts), values.shape[1]))
    middles = np.broadcast_to(middles, starts.shape)

    def residuals(theta: Array, rows: Rows) -> Array:
        by_value = form.mean(theta, points) - targets[rows]
        by_value = by_value * root if root.ndim == 1 else by_value @ root.T
        return np.concatenate([by_value, (theta - middles[rows]) / form.deviation], axis=1)

    theta, rows = np.array(starts, dtype=np.float64), np.arange(len(starts))
    off = residuals(theta, rows)
    costs, damping = (off**2).sum(axis=1), np.full(len(theta), 1e-3)
    for _ in range(STEPS):
        slopes = form.slopes(theta[rows], points)
        slopes = root[:, None] * slopes if root.ndim == 1 else root @ slopes
        new = theta[rows] - _step(slopes, off[rows], form.deviation, damping[rows])
        new_off = residuals(new, rows)
        gains = costs[rows] - (new_off**2).sum(axis=1)
        better = gains > 0
        moved = rows[better]
        theta[moved], off[moved] = new[better], new_off[better]
        costs[moved] -= gains[better]
        damping[rows] *= np.where(better, 0.2, 5.0)
        ended = better & (gains <= ENOUGH * costs[rows]) | (damping[rows] > MOST_DAMPING)
        rows = rows[~ended]
        if not len(rows):
            break
    return theta, costs


def _step(slopes: Array, off: Array, deviation: Array, damping: Array) -> Array:
    """A Levenberg-Marquardt step, shape (m, p), from the slopes of the values' residuals (m, n, p);
    those of the priors' residuals form a diagonal."""
    n, p = slopes.shape[1:]
    square = np.swapaxes(slopes, 1, 2) @ slopes + np.diag(deviation**-2)
    square[:, range(p), range(p)] *= 1 + damping[:, None]
    slope = np.einsum("mnp,mn->mp", slopes, off[:, :n]) + off[:, n:] / deviation
    return np.asarray(np.linalg.solve(square, slope[:, :, None])[:, :, 0])
