"""What a sweep asks for at its end: which recipe is recommended, so that it is trained once more,
and which trial would settle what is still open. The answers come from outside (`Advice`), so that
the search knows no model of the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mtray.schema import TrialRecord


@dataclass(frozen=True)
class Proposal:
    """A trial that is asked for.

    - `params`: of the space, all of them.
    - `repeats_of`: number of the trial whose recipe this is, trained with another seed; None: a
      recipe that was not trained.
    - `why`: in a few words, for the journal and the log.
    """

    params: dict[str, Any]
    repeats_of: int | None
    why: str


# the run's records, the base model's and failed trials' among them -> what to train; None: nothing
Recommend = Callable[[Sequence[TrialRecord]], Proposal | None]
# those and the trials that run now -> what would settle the answer; None: it is settled
Settle = Callable[[Sequence[TrialRecord], Sequence[Proposal]], Proposal | None]


@dataclass(frozen=True)
class Advisor:
    """`recommend` is asked once all other trials of the budget have ended, `settle` before each
    trial beyond the budget. Both must depend on what they are given alone: a restart asks again."""

    recommend: Recommend
    settle: Settle
