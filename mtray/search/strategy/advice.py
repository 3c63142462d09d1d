"""Interface for the last trials of a sweep: which recipe is recommended and therefore trained once
more, and which trial would settle the answer. The implementation comes from outside, so that the
search depends on no model of the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mtray.schema import TrialRecord


@dataclass(frozen=True)
class Proposal:
    """A requested trial.

    - `params`: all parameters of the space.
    - `repeats_of`: number of the trial whose recipe is trained again with another seed; None: a
      recipe that was not trained.
    - `why`: the reason in a few words, for the journal and the log.
    """

    params: dict[str, Any]
    repeats_of: int | None
    why: str


# the run's records, including the base model and failed trials -> what to train; None: nothing
Recommend = Callable[[Sequence[TrialRecord]], Proposal | None]
# records and running trials -> what would settle the answer; None: it is settled
Settle = Callable[[Sequence[TrialRecord], Sequence[Proposal]], Proposal | None]


@dataclass(frozen=True)
class Advisor:
    """`recommend` is called once all other trials of the budget have ended, `settle` before
    each trial beyond the budget. Both must depend on their arguments only: a restart calls
    them again."""

    recommend: Recommend
    settle: Settle
