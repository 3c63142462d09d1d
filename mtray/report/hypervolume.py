"""The reference point of a study's hypervolumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtray.schema import Sense, TrialRecord


def reference_point(records: Sequence[TrialRecord], objectives: Mapping[str, Sense]) -> np.ndarray:
    """The hypervolume's reference point, shape (m,), in the objectives' own units.

    Retention: 0, the score of a trivial output. Others: a tenth of the baselines' range worse than
    the worst baseline. Both stay fixed while a sweep grows, so hypervolumes of one study can be
    compared. Without baselines all trials are used instead.
    """
    anchors = [r for r in records if r.role != "search"] or list(records)
    found = []
    for name, sense in objectives.items():
        if name.split(".")[0] == "retention" and sense == "max":
            found.append(0.0)
            continue
        values = [r.objectives[name].value for r in anchors]
        worst, extent = (min if sense == "max" else max)(values), max(values) - min(values)
        margin = 0.1 * (extent or abs(worst) or 1.0)
        found.append(worst - margin if sense == "max" else worst + margin)
    return np.array(found)
