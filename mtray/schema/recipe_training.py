"""The settings that a recipe trains with: its own where it gives them, else the study's."""

from __future__ import annotations

from mtray.schema.recipe import Recipe
from mtray.schema.study import Study
from mtray.schema.training import Training

# parameters of a recipe that are keys of a study's `training` too, of the same meaning
TRAINING_PARAMETERS = (
    "schedule",
    "warmup",
    "weight_decay",
    "epochs",
    "batch_examples",
    "max_length",
)


def training_of(recipe: Recipe, training: Training) -> Training:
    """The study's settings with those that the recipe gives."""
    given = {name: getattr(recipe, name) for name in TRAINING_PARAMETERS}
    return training.model_copy(update={k: v for k, v in given.items() if v is not None})


def study_of(recipe: Recipe, study: Study) -> Study:
    """The study with the settings that the recipe trains with."""
    return study.model_copy(update={"training": training_of(recipe, study.training)})
