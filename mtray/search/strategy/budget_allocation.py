"""Allocation of a budget's trials to baselines, searched recipes, repeats, and a confirmation of
the recommended recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mtray.errors import ConfigError
from mtray.report.printing import counted
from mtray.schema import Budget, Role
from mtray.search.strategy.reserved_trials import (
    LEAST_SEARCHED,
    ReservedTrials,
    SweepStart,
    reserved_trials,
)
from mtray.search.strategy.samplers import STARTUP


@dataclass(frozen=True)
class BudgetAllocation:
    """The trials of a budget.

    - `baselines`: roles of the baselines that are trained in this run.
    - `first`: the baseline to train twice at the start; None: there are no baselines, or a repeat
      of it was imported from an earlier run.
    - `filling_points`: how many of the searched recipes are space-filling points, or given by the
      study (`budget.recipes`), which come before those that the sampler suggests.
    """

    budget: Budget
    baselines: tuple[Role, ...]
    first: Role | None
    filling_points: int = STARTUP

    @property
    def trials(self) -> int:
        return self.budget.trials

    @property
    def _kept(self) -> ReservedTrials:
        begins = SweepStart(len(self.baselines), self.filling_points, self.first is not None)
        return reserved_trials(self.budget, self.trials, begins)

    @property
    def first_again(self) -> bool:
        """Whether the first baseline is trained twice at the start."""
        return bool(self._kept.first)

    @property
    def repeats(self) -> int:
        """All repeats, with that of the first baseline."""
        return self._kept.repeats

    @property
    def confirm(self) -> int:
        """Trials that train the recommended recipe at the end, 0 or 1."""
        return self._kept.confirm

    @property
    def searched(self) -> int:
        return max(0, self.trials - len(self.baselines) - self.repeats - self.confirm)

    @property
    def enough(self) -> bool:
        """Whether enough recipes remain to be searched; always true without baselines."""
        return not self.baselines or self._left >= LEAST_SEARCHED

    @property
    def _again(self) -> bool:
        """Whether the study requests a second training of the first baseline; the budget may be too
        small for it."""
        return bool(self.first and self.budget.replicate_share)

    @property
    def _left(self) -> int:
        """Recipes that remain to be searched after baselines and the requested second training."""
        return max(0, self.searched - (self._again and not self.first_again))

    @property
    def smallest(self) -> BudgetAllocation:
        """The same allocation with the fewest trials that are enough."""
        found = self._with(len(self.baselines) + 1)
        while not found.enough:
            found = self._with(found.trials + 1)
        return found

    def _with(self, trials: int) -> BudgetAllocation:
        return replace(self, budget=self.budget.model_copy(update={"trials": trials}))

    def text(self) -> str:
        """For example `14 trials: 4 baselines (parallel_only, ...), 6 recipes searched, 3 repeats
        (one of parallel_only, at the start), 1 confirmation of the recommended recipe; plus the
        base model`."""
        again = f" (one of {self.first}, at the start)" if self.first_again else ""
        return (
            f"{counted(self.trials, 'trial')}: {self._baselines()}, "
            f"{counted(self.searched, 'recipe')} searched{self._given()}, "
            f"{counted(self.repeats, 'repeat')}{again}, "
            f"{counted(self.confirm, 'confirmation')} of the recommended recipe; "
            "plus the base model"
        )

    def lines(self) -> list[str]:
        """`text`, and a line with the reason if there is no confirmation."""
        out = [self.text()]
        if self._trained < len(self.budget.recipes):
            out.append(
                f"{len(self.budget.recipes) - self._trained} of the "
                f"{len(self.budget.recipes)} recipes of `budget.recipes` are not trained; raise "
                "`trials`, or set `baselines: none`, `replicate_share: 0` and `confirm: 0`"
            )
        if self.budget.confirm and not self.confirm:
            out.append(
                "no trial is left to confirm the recommended recipe: it would leave too few to "
                "search"
            )
        return out

    def check(self) -> None:
        """Raise ConfigError if the baselines leave fewer than `LEAST_SEARCHED` recipes to
        search."""
        if self.enough:
            return
        least = self.smallest.trials
        again = f" and a second training of {self.first}" if self._again else ""
        verb = "come" if again or len(self.baselines) > 1 else "comes"
        raise ConfigError(
            f"`budget.trials` is {self.trials}: {self._baselines()}{again} {verb} first, which "
            f"leaves {counted(self._left, 'recipe')} to search; at least {LEAST_SEARCHED} are "
            "needed. "
            f"Set it to {least} or more{self._by_option(least)}, or choose the baselines that run "
            f"(`budget: {{baselines: {self._fewer}}}`)"
        )

    def _by_option(self, trials: int) -> str:
        """The command-line option for this many trials; if the answer is to be settled, `--trials`
        is the maximum number in all."""
        return "" if self.budget.settle is not None else f" (`--trials {trials}`)"

    @property
    def _fewer(self) -> str:
        """The baselines for which this budget would be enough."""
        one = replace(self, baselines=self.baselines[:1])
        return f"[{self.baselines[0]}]" if one.enough else "none"

    def _given(self) -> str:
        trained = self._trained
        return f" ({trained} of them given)" if trained else ""

    @property
    def _trained(self) -> int:
        """How many of the given recipes there is a trial for."""
        return min(len(self.budget.recipes), self.searched)

    def _baselines(self) -> str:
        named = f" ({', '.join(self.baselines)})" if self.baselines else ""
        return f"{counted(len(self.baselines), 'baseline')}{named}"
