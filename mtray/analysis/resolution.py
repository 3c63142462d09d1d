"""Which difference between two recipes a sweep can distinguish from zero, and what a smaller one
would require. Numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, hypot, sqrt

import numpy as np

from mtray.analysis.seed_variance import SeedVariance, with_prior
from mtray.analysis.uncertainty import Z95


@dataclass(frozen=True)
class Spread:
    """Standard deviations of one segment's difference, or of a difference over all segments:
    between two trained recipes, and between a trained one and the base model."""

    recipes: float
    base: float


# Of a segment, in the default study: the effects of a recipe (.08, .19) and of a seed (.12, .28) on
# it, from `benchmarks/calibration_sweeps.py`; sqrt(2 (recipe^2 + seed^2)) and sqrt(2 recipe^2 +
# seed^2). In retention as a share of the base model's score above the floor.
TYPICAL = {"quality": Spread(0.204, 0.165), "retention": Spread(0.479, 0.388)}
# The same divided by the deviation of one model's own quality, sqrt(.26^2 + .08^2).
OF_SCORE = Spread(0.75, 0.61)


@dataclass(frozen=True)
class Needed:
    """What an interval of a given width requires of one quantity alone; None if the other's part
    alone is wider.

    - `trainings`: of each recipe, on the same segments.
    - `segments`: with one training of each.
    """

    trainings: int | None
    segments: int | None


@dataclass(frozen=True)
class Resolution:
    """Half the 95 % interval of a difference, with one training of each recipe.

    - `segments`, `seeds`: its parts, which are added in quadrature.
    - `n`: number of segments that it is measured on.
    """

    segments: float
    seeds: float
    n: int

    @property
    def half(self) -> float:
        """A difference greater than this is beyond noise."""
        return hypot(self.segments, self.seeds)

    def needed(self, share: float = 0.5) -> Needed:
        """What `share` of the interval requires. The segments' part falls with 1/sqrt(segments),
        the seeds' with 1/sqrt(trainings); 1/share^2 times as many of both are always enough."""
        goal = share * self.half
        return Needed(
            trainings=_times(self.seeds, goal**2 - self.segments**2, 1),
            segments=_times(self.segments, goal**2 - self.seeds**2, self.n),
        )


def _times(part: float, room: float, now: int) -> int | None:
    """The number, now `now`, of the quantity that `part` falls with, so that the part's square is
    `room`."""
    if room <= 0:
        return None
    return max(1, ceil(now * part**2 / room - 1e-9))


def resolution(error: float, seeds: float, sides: int, n: int) -> Resolution:
    """The resolution from `error`, the standard error of the paired difference over `n`
    segments, and `seeds`, half the interval of one training's error beyond it
    (`SeedVariance.half_width`). `sides`: how many sides of the difference are trained: two
    recipes 2, one and the base model 1."""
    return Resolution(Z95 * error, sqrt(sides) * seeds, n)


def even_segments(sizes: Sequence[int]) -> int:
    """Size of one set that is as precise as a mean over sets of these sizes: K^2 / sum(1 / n), if
    segments vary alike in all of them."""
    return round(len(sizes) ** 2 / sum(1 / n for n in sizes))


def prior_seeds(error: float) -> float:
    """Half the interval of one training's error over seeds before anything was repeated: that of
    the prior, centred by the standard error of the difference from the base model."""
    nothing = SeedVariance(np.zeros(1), np.zeros(1), 0.0, 0)
    return float(with_prior(nothing, [error]).half_width()[0])
