"""Errors that several measured values share, and what of them is each value's own. Arrays in,
arrays out.

All recipes of a run are measured on the same segments, so their errors are correlated, and the
error of a recipe grows with what it changes. Least squares with the whole covariance then take a
part of a real effect for an error that all share, wherever the fitted form is not exact, and come
out too near to no effect: on the 302 recipes of the default study's table, by two fifths of the
retention that they lose in the mean (Peelle's pertinent puzzle: D'Agostini 1994, "On the use of
the covariance matrix to fit correlated data", Nucl. Instrum. Meth. A 346:306). So forms are fitted
as if errors were each value's own, and what is shared counts in how sure the result is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
MOST = 0.999  # of a correlation: what is each value's own stays above rounding


def own_errors(covariance: Array) -> Array:
    """Of a covariance of shape (n, n), the part that is each value's own, a diagonal of shape
    (n, n): the variances times 1 less the mean correlation of a pair."""
    variances = np.diag(covariance)
    having = np.flatnonzero(variances > 0)
    k = len(having)
    alike = 0.0
    if k > 1:
        deviations = np.sqrt(variances[having])
        sums = covariance[np.ix_(having, having)] / np.outer(deviations, deviations)
        alike = float((sums.sum() - k) / (k * (k - 1)))
    return np.asarray(np.diag(variances * (1 - np.clip(alike, 0.0, MOST))))
