"""Which trial trained a model."""

from __future__ import annotations

from mtray.schema.base import Frozen
from mtray.schema.recipe import Recipe


class Lineage(Frozen):
    """A model that a trial of a run trained.

    - `run`: the run's name.
    - `trial`: the trial's number.
    - `recipe`, `seed`: those of the trial.
    - `study`: hash of the run's study.
    - `base`: the model that it was trained from: `embedded`, a hub name or a folder.
    - `weights`: SHA-256 of the run's file of kept weights; None for a model that was trained again.
    - `of`: the lineage of `base`, if a trial trained it as well.
    """

    run: str
    trial: int
    recipe: Recipe
    seed: int
    study: str
    base: str
    weights: str | None = None
    of: Lineage | None = None

    @property
    def first(self) -> str:
        """The first base model, which no trial trained."""
        return self.base if self.of is None else self.of.first

    @property
    def text(self) -> str:
        """For example `trial 7 of run phase-1 (parallel_size 4096, learning_rate 0.0005; seed 1),
        from embedded`."""
        given = self.recipe.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
        recipe = ", ".join(f"{name} {value}" for name, value in given.items())
        base = self.base if self.of is None else self.of.text
        return f"trial {self.trial} of run {self.run} ({recipe}; seed {self.seed}), from {base}"
