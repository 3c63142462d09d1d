"""What the trials of a budget are spent on: baselines, recipes that are searched, repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mtray.data.mixing import SumsOf
from mtray.errors import ConfigError
from mtray.report.records import read_records
from mtray.schema import Role, Study, TrialRecord
from mtray.search.references import reference_recipes
from mtray.search.replicates import reserved
from mtray.search.samplers import STARTUP
from mtray.search.taking_over import role_here
from mtray.search.warmstart import Taken
from mtray.space import Space

LEAST_SEARCHED = 2  # recipes; a front of one is no search


@dataclass(frozen=True)
class Division:
    """`trials` of a budget. `baselines`: those that run, by role. `share`: the budget's
    `replicate_share`. `filling`: space-filling points among the searched, before the sampler."""

    trials: int
    baselines: tuple[Role, ...]
    share: float
    filling: int = STARTUP

    @property
    def repeats(self) -> int:
        return reserved(self.trials, self.share, len(self.baselines) + self.filling)

    @property
    def searched(self) -> int:
        return max(0, self.trials - len(self.baselines) - self.repeats)

    @property
    def enough(self) -> bool:
        """Whether the baselines leave something to search. Without any, all of it is searched."""
        return not self.baselines or self.searched >= LEAST_SEARCHED

    @property
    def smallest(self) -> Division:
        """The same with as few trials as are enough."""
        found = replace(self, trials=len(self.baselines) + 1)
        while not found.enough:
            found = replace(found, trials=found.trials + 1)
        return found

    def text(self) -> str:
        """Such as `14 trials: 4 baselines (parallel_only, ...), 7 recipes searched, 3 repeats; the
        base model comes on top`."""
        return (
            f"{counted(self.trials, 'trial')}: {self._baselines()}, "
            f"{counted(self.searched, 'recipe')} searched, {counted(self.repeats, 'repeat')}; "
            "the base model comes on top"
        )

    def check(self) -> None:
        """ConfigError where the baselines leave fewer than `LEAST_SEARCHED` recipes to search."""
        if self.enough:
            return
        least = self.smallest.trials
        raise ConfigError(
            f"`budget.trials` is {self.trials}: {self._baselines()} come first, which leaves "
            f"{counted(self.searched, 'recipe')} to search, and {LEAST_SEARCHED} are the least. "
            f"Set it to {least} or more (`--trials {least}`), or choose the baselines that run "
            "(`budget: {baselines: [parallel_only]}`, or none)"
        )

    def _baselines(self) -> str:
        named = f" ({', '.join(self.baselines)})" if self.baselines else ""
        return f"{counted(len(self.baselines), 'baseline')}{named}"


def counted(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def divided(
    study: Study,
    space: Space,
    records: Sequence[TrialRecord] = (),
    taken: Sequence[Taken] = (),
    held: Mapping[str, int] | None = None,
    sums: SumsOf = lambda recipe: None,
) -> Division:
    """The budget of a study. Baselines among `taken`, or taken over before as the run's `records`
    say, do not run again. `held` and `sums` as in `reference_recipes`."""
    params = reference_recipes(space, study, held, sums)
    recipes = {role: space.recipe(found) for role, found in params.items()}
    before = [record.role for record in records if record.taken_from]
    here = [role_here(found, recipes) for found in taken]
    roles = tuple(role for role in recipes if role not in {*before, *here})
    known = max(len(before), len(here))
    return Division(
        study.budget.trials, roles, study.budget.replicate_share, 0 if known >= STARTUP else STARTUP
    )


def checked_division(
    study: Study,
    space: Space,
    run_dir: Path | None = None,
    taken: Sequence[Taken] = (),
    held: Mapping[str, int] | None = None,
    sums: SumsOf = lambda recipe: None,
) -> Division:
    """The budget of a study, for a run that is there already or not. ConfigError where it leaves
    too few recipes to search, unless the run is past that."""
    records = read_records(run_dir).trials if run_dir and run_dir.is_dir() else ()
    division = divided(study, space, records, taken, held, sums)
    if not is_past(records, division.trials):
        division.check()
    return division


def is_past(records: Sequence[TrialRecord], trials: int) -> bool:
    """Whether a run has as many trials as it is to have, or has searched enough already: then its
    budget is as it is."""
    own = [r for r in records if not r.taken_from]
    searched = sum(r.role == "search" and not r.replicate for r in own)
    return len(own) >= trials or searched >= LEAST_SEARCHED
