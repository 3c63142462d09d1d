"""Every noun of mtray, frozen; unknown keys are errors. Files are read into these in `mtray.study`
and `mtray.space`."""

from mtray.schema.base import BASELINES, POOLS, Baseline, Direction, Frozen, Kind
from mtray.schema.filters import Between, Filters
from mtray.schema.mixing import Mixing
from mtray.schema.recipe import Mix, Recipe, SourceShare
from mtray.schema.record import (
    RETENTION_SUMMARIES,
    Estimate,
    Origin,
    ReasonClass,
    Role,
    Rung,
    Score,
    State,
    TrainingRecord,
    TrialRecord,
    moved_by,
)
from mtray.schema.rendering import Generation, Noise
from mtray.schema.search import Budget, EarlyStopping, Limit, beyond, broken_reason
from mtray.schema.study import (
    HUB_PREFIX,
    NAME_PATTERN,
    NO_COMET,
    SACREBLEU_PREFIX,
    AbilitySpec,
    Evaluation,
    Format,
    Language,
    MetricName,
    QualitySet,
    Sense,
    Source,
    Study,
    Take,
)
from mtray.schema.training import KEPT_BESIDE, Resources, Training

__all__ = [
    "BASELINES",
    "HUB_PREFIX",
    "KEPT_BESIDE",
    "NAME_PATTERN",
    "NO_COMET",
    "POOLS",
    "RETENTION_SUMMARIES",
    "SACREBLEU_PREFIX",
    "AbilitySpec",
    "Baseline",
    "Between",
    "Budget",
    "Direction",
    "EarlyStopping",
    "Estimate",
    "Evaluation",
    "Filters",
    "Format",
    "Frozen",
    "Generation",
    "Kind",
    "Language",
    "Limit",
    "MetricName",
    "Mix",
    "Mixing",
    "Noise",
    "Origin",
    "QualitySet",
    "ReasonClass",
    "Recipe",
    "Resources",
    "Role",
    "Rung",
    "Score",
    "Sense",
    "Source",
    "SourceShare",
    "State",
    "Study",
    "Take",
    "Training",
    "TrainingRecord",
    "TrialRecord",
    "beyond",
    "broken_reason",
    "moved_by",
]
