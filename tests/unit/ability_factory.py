"""What the tests of abilities share."""

from collections.abc import Sequence

import numpy as np

from mtray.analysis.uncertainty import Array
from mtray.evaluation.abilities.base import Tools


class LengthScorer:
    """A metric that can be worked out by hand: |hypothesis| / |reference|, at most 1."""

    signature = "length"

    def scores(
        self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
    ) -> Array:
        pairs = zip(hypotheses, references, strict=True)
        return np.array([min(1.0, len(h) / max(1, len(r))) for h, r in pairs])


TOOLS = Tools(comet=LengthScorer)
