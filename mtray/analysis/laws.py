"""Parametric laws of a run's recipes, for explanation: how quality grows with data, and what an
ability loses. Arrays in, arrays out.

Values are differences from the base model, so a loss is negative, and may be positive by noise: no
logarithm of them is taken. With n parallel examples, learning rate r (times alpha if the weights
are partly reverted), both in units of their geometric means over the recipes, replay fraction p,
mono ratio m and F frozen layers:

    quality:  E - A (n r)^-b - D r^h exp(-f F)
    loss:     K n^a r^c exp(-f F) / ((1 + B p) (1 + C m))

E - A n^-b is the power law of data (Zhang et al. 2024, arXiv:2402.17193), of data times the
learning rate if the latter varies: with a low one, much data teaches little (n r is proportional to
the accumulated learning rate, arXiv:2505.07796). A learning rate that is too high costs quality as
it costs abilities, hence D. 1 / (1 + B p) is the factor by which injected pretraining data reduces
a loss (Bethune et al. 2025, arXiv:2502.06042); the last factor does so for monolingual data. Within
one run, steps are proportional to n at a given mix, so their exponent is that of n. The effect of
the additional steps for mono and replay is included in B and C, which describe the *net* effect. If
mono or replay increases the loss, its coefficient is negative, and 1 / (1 + B p) becomes 1 + |B| p,
which has no pole.

Parameters that do not vary among the recipes have no term. docs/laws.md has the priors and the
measurements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtray.analysis.leave_one_out import Fit, Predict
from mtray.analysis.regression import Form, RegressionFit, fit, size_of
from mtray.analysis.shared_errors import own_errors
from mtray.analysis.uncertainty import TAILS

Array = npt.NDArray[np.float64]
COLUMNS = ("parallel_size", "learning_rate", "replay_fraction", "mono_ratio", "frozen_layers")
SIZE, RATE, REPLAY, MONO, FROZEN = range(len(COLUMNS))
MOST = 30.0  # maximum of an exponent: far beyond any data, and finite
# (mean, deviation) of normal priors
EXPONENT = (0.5, 0.5)  # a, c
HARM_EXPONENT = (2.0, 1.0)  # h: little harm at low learning rates, most at the highest
LOG_DECAY = (float(np.log(0.3)), 0.7)  # of log b: b is .08 to 1.2
SHARE = (0.0, 1.5)  # of the logarithm of a factor's reduction at the greatest value
AMOUNT = 3.0  # E, K: deviation in units of the values' size
PART = 1.0  # A, D: likewise
DRAWS = 400  # of the parameters

Priors = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Term:
    """A factor of one column.

    - `name`: of its parameter.
    - `middle`, `deviation`: of the fitted parameter's prior.
    - `factor`: maps fitted parameters (..., 1) and the column (n,) to factors (..., n).
    - `natural`: maps the fitted parameter to the one in the formula.
    """

    name: str
    column: int
    middle: float
    deviation: float
    factor: Callable[[Array, Array], Array]
    natural: Callable[[Array], Array]


def power(name: str, column: int, reference: float, prior: tuple[float, float]) -> Term:
    """(x / reference)^theta."""

    def factor(theta: Array, x: Array) -> Array:
        return _exp(theta * np.log(x / reference))

    return Term(name, column, *prior, factor, lambda theta: theta)


def reduction(name: str, column: int, most: float) -> Term:
    """1 / (1 + B x) with B = (e^theta - 1) / most: the factor at `most` is e^-theta. For a negative
    theta 1 + |B| x, with |B| = (e^|theta| - 1) / most."""

    def natural(theta: Array) -> Array:
        return np.asarray(np.sign(theta) * (_exp(np.abs(theta)) - 1) / most)

    def factor(theta: Array, x: Array) -> Array:
        rise = 1 + np.abs(natural(theta)) * x
        return np.asarray(np.where(theta < 0, rise, 1 / rise))

    return Term(name, column, *SHARE, factor, natural)


def decay(name: str, column: int, most: float) -> Term:
    """exp(-f x) with f = theta / most."""

    def factor(theta: Array, x: Array) -> Array:
        return _exp(-theta * x / most)

    return Term(name, column, *SHARE, factor, lambda theta: theta / most)


def _exp(x: Array) -> Array:
    return np.asarray(np.exp(np.clip(x, -MOST, MOST)))


def _product(terms: tuple[Term, ...], theta: Array, points: Array) -> Array:
    """The product of all terms, shape (..., n); the parameters in the order of the terms, (...,
    terms)."""
    out = np.ones((*theta.shape[:-1], len(points)))
    for i, term in enumerate(terms):
        out = out * term.factor(theta[..., i, None], points[:, term.column])
    return out


@dataclass(frozen=True)
class Shape:
    """A law's form, with the meaning of its parameters.

    - `natural`: maps fitted parameters (..., p) to those of the formula (..., p).
    - `reference`: the size and the learning rate that count as 1.
    """

    form: Form
    natural: Callable[[Array], Array]
    reference: tuple[float, float]


def loss_shape(points: Array, unit: float) -> Shape:
    """The shape of minus a loss, over points (n, 5) of `COLUMNS`; `unit` as `size_of`."""
    size, rate = reference(points)
    terms = _varied(points, power("a", SIZE, size, EXPONENT), power("c", RATE, rate, EXPONENT))
    terms += _varied(
        points,
        reduction("B", REPLAY, points[:, REPLAY].max()),
        reduction("C", MONO, points[:, MONO].max()),
        decay("f", FROZEN, points[:, FROZEN].max()),
    )

    def mean(theta: Array, at: Array) -> Array:
        return np.asarray(-theta[..., :1] * _product(terms, theta[..., 1:], at))

    def natural(theta: Array) -> Array:
        return np.stack([theta[..., 0], *_naturals(terms, theta[..., 1:])], axis=-1)

    return Shape(_form({"K": (0.0, AMOUNT * unit)}, terms, mean), natural, (size, rate))


def quality_shape(points: Array, unit: float) -> Shape:
    """The shape of a gain in quality, over points (n, 5) of `COLUMNS`; `unit` as `size_of`."""
    size, rate = reference(points)
    harms = _varies(points, RATE)
    grows = harms or _varies(points, SIZE)
    own: Priors = {"E": (0.0, AMOUNT * unit)}
    own |= {"A": (0.0, PART * unit), "b": LOG_DECAY} if grows else {}
    own |= {"D": (0.0, PART * unit)} if harms else {}
    frozen = decay("f", FROZEN, points[:, FROZEN].max())
    terms = _varied(points, power("h", RATE, rate, HARM_EXPONENT), frozen) if harms else ()
    k = len(own)

    def mean(theta: Array, at: Array) -> Array:
        out = theta[..., :1] + np.zeros(len(at))
        if grows:
            seen = np.log(at[:, SIZE] / size) + harms * np.log(at[:, RATE] / rate)
            out = out - theta[..., 1:2] * _exp(-_exp(theta[..., 2:3]) * seen)
        if harms:
            out = out - theta[..., k - 1 : k] * _product(terms, theta[..., k:], at)
        return np.asarray(out)

    def natural(theta: Array) -> Array:
        first = [_exp(theta[..., i]) if n == "b" else theta[..., i] for i, n in enumerate(own)]
        return np.stack([*first, *_naturals(terms, theta[..., k:])], axis=-1)

    return Shape(_form(own, terms, mean), natural, (size, rate))


def reference(points: Array) -> tuple[float, float]:
    """The geometric means of size and learning rate."""
    size, rate = np.exp(np.log(points[:, [SIZE, RATE]]).mean(axis=0)).tolist()
    return size, rate


def scaled(points: Array) -> Array:
    """The input of a linear model: size and learning rate as logarithms."""
    return np.hstack([np.log(points[:, [SIZE, RATE]]), points[:, [REPLAY, MONO, FROZEN]]])


def _varies(points: Array, column: int) -> bool:
    return bool(np.ptp(points[:, column]) > 0)


def _varied(points: Array, *terms: Term) -> tuple[Term, ...]:
    return tuple(term for term in terms if _varies(points, term.column))


def _naturals(terms: tuple[Term, ...], theta: Array) -> list[Array]:
    return [term.natural(theta[..., i]) for i, term in enumerate(terms)]


def _form(own: Priors, terms: tuple[Term, ...], mean: Callable[[Array, Array], Array]) -> Form:
    priors = own | {term.name: (term.middle, term.deviation) for term in terms}
    middle, deviation = np.array(list(priors.values())).T
    return Form(tuple(priors), middle, deviation, mean)


@dataclass(frozen=True)
class Law:
    """A shape fitted to differences from the base model, greater is better.

    - `draws`, shape (draws, p): of the fitted parameters (`RegressionFit.resampled`).
    """

    shape: Shape
    fitted: RegressionFit
    draws: Array

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self.shape.form.names

    @property
    def values(self) -> Array:
        """Parameters in the formula, shape (p,)."""
        return self.shape.natural(self.fitted.theta)

    @property
    def intervals(self) -> Array:
        """Their 95 % intervals, shape (2, p)."""
        return np.asarray(np.quantile(self.shape.natural(self.draws), TAILS, axis=0))

    def gaps(self, at: Array) -> Array:
        """Values at points (n, 5), shape (n,)."""
        return self.shape.form.mean(self.fitted.theta, at)

    def drawn_gaps(self, at: Array) -> Array:
        """The same for every draw of the parameters, shape (draws, n)."""
        return self.shape.form.mean(self.draws, at)

    def refit(self) -> Fit:
        """Fits the same shape to other values, for `leave_one_out`, starting from this law's
        parameters."""

        def refitted(points: Array, values: Array, covariance: Array) -> Predict:
            return fit(self.shape.form, points, values, covariance, self.fitted.theta).predict

        return refitted


def law(
    shape_of: Callable[[Array, float], Shape],
    points: Array,
    values: Array,
    errors: Array,
    seed: int = 0,
) -> Law:
    """`loss_shape` or `quality_shape` fitted to `values`, shape (n,), at points (n, 5) of
    `COLUMNS`. `errors`, shape (draws, n): joint draws of the values' errors; laws of several
    measures with the same draws need different seeds. The shared part of the errors widens the
    intervals but does not affect the fit (`mtray.analysis.shared_errors`)."""
    covariance = own_errors(np.atleast_2d(np.cov(errors.T)))
    shape = shape_of(points, size_of(values, covariance))
    fitted = fit(shape.form, points, values, covariance)
    return Law(shape, fitted, fitted.resampled((errors - errors.mean(axis=0))[:DRAWS], seed))
