"""Errors that several measured values share, and each value's own part. Arrays in, arrays out.

All recipes of a run are measured on the same segments, so their errors are correlated, and a
recipe's error grows with its effect. Least squares with the whole covariance then attributes a part
of a real effect to a shared error wherever the fitted form is not exact, and underestimates the
effect: on the 302 recipes of the default study's table, by two fifths of their mean loss of
retention (Peelle's pertinent puzzle: D'Agostini 1994, "On the use of the covariance matrix to fit
correlated data", Nucl. Instrum. Meth. A 346:306). So forms are fitted as if errors were each
value's own, and the shared part is added to the uncertainty of the result.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
MOST = 0.999  # maximum of a correlation: keeps each value's own part above rounding


def own_variances(covariance: Array) -> Array:
    """The part of a covariance of shape (n, n) that is each value's own: the variances times 1
    minus the mean correlation of a pair, shape (n,)."""
    variances = np.diag(covariance)
    k = int((variances > 0).sum())
    alike = 0.0
    if k > 1:
        inverse = np.zeros(len(variances))
        np.divide(1.0, np.sqrt(variances), out=inverse, where=variances > 0)
        alike = float((inverse @ covariance @ inverse - k) / (k * (k - 1)))
    return np.asarray(variances * (1 - np.clip(alike, 0.0, MOST)))


def own_errors(covariance: Array) -> Array:
    """The same as a diagonal matrix, shape (n, n)."""
    return np.asarray(np.diag(own_variances(covariance)))
