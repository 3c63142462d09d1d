"""What is fixed: the study and its parts."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from mtray.schema.base import BASELINES, POOLS, Baseline, Direction, Frozen, Kind
from mtray.schema.filters import Filters, check_filters
from mtray.schema.mixing import Mixing
from mtray.schema.rendering import Rendered
from mtray.schema.training import Resources, Training, check_training

# a run and its folder have such a name: no path, nothing hidden, no option
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
MetricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
Sense = Literal["max", "min"]
SACREBLEU_PREFIX = "wmt:"  # before one of sacrebleu's names of a test set, where a path may stand
HUB_PREFIX = "hf:"  # before a data set's name on the Hugging Face hub, likewise
Format = Literal["text", "tsv", "csv", "jsonl", "json", "parquet", "tmx", "sgm", "wmt-xml"]


class Source(Rendered):
    """One corpus. `path` is one file, a file for each language (line-parallel text, WMT's SGM), a
    data set's folder or `hf:` and its name (`mtray.data.sources`); `format` where neither name nor
    content tells it, `split`, `config`, `revision` for data sets. Columns default to the language
    codes, `text` for monolingual data and `prompt`, `target` for replay and instruct, which differ
    in name only; `document` names that of the documents. `licence` is for people.
    `filters`: those of the study's `filters` that are others here.
    `max_repeats`: a recipe that would repeat the source more often is infeasible (with
    `training.allow_repeats`; None: no cap)."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    kind: Kind
    path: str | dict[Language, str] = ""
    languages: Annotated[tuple[Language, ...], Field(min_length=0)] = ()
    columns: dict[str, str] = {}
    format: Format | None = None
    split: str | None = None
    config: str | None = None
    revision: str | None = None
    licence: str | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0
    max_repeats: Annotated[float, Field(ge=1)] | None = None
    filters: Annotated[dict[str, Any], AfterValidator(check_filters)] = {}

    @model_validator(mode="after")
    def _languages_fit_kind(self) -> Source:
        wanted = {"parallel": 2, "mono": 1}.get(self.kind)
        if wanted is not None and len(self.languages) != wanted:
            raise ValueError(
                f"a {self.kind} source needs {wanted} `languages`, found {len(self.languages)}"
            )
        self.check_rendering(self.kind, self.languages)
        if not self.path and self.replay != "self":
            raise ValueError("`path` is missing; only `replay: self` does without")
        return self

    @model_validator(mode="after")
    def _columns_are_known(self) -> Source:
        allowed = (*self.roles, "document")
        for role in self.columns:
            if role not in allowed:
                raise ValueError(
                    f"unknown key {role!r} in `columns`; allowed: {', '.join(allowed)}"
                )
        return self

    @property
    def roles(self) -> tuple[str, ...]:
        """What its columns are called where `columns` does not name them: two, or one of text."""
        if self.kind == "parallel":
            return self.languages
        if self.kind == "mono":
            return ("text",)
        return ("prompt", "target") if self.replay == "er" else ("prompt",)

    @property
    def pool(self) -> Kind:
        """The kind that a recipe counts it to."""
        return POOLS.get(self.kind, self.kind)


class QualitySet(Frozen):
    """Parallel segments that quality is measured on; the first `size` of the set. `path`: a file,
    a file for each language, a FLORES folder (of which `split` is taken) or `wmt:` and sacrebleu's
    name of the set. `columns` may name a `document`, whose segments are resampled together.
    `test`: which of these keys are others on the segments that no search sees, above all `path`."""

    direction: Direction
    path: str | dict[Language, str]
    split: Literal["dev", "devtest"] | None = None
    columns: dict[str, str] = {}
    size: Annotated[int, Field(ge=1)] = 200
    test: dict[str, Any] = {}


class AbilitySpec(Frozen):
    """One preserved ability: which measure, on which file or files (a path for each role), and that
    measure's own options, which are checked when it is built. `test` as in `QualitySet`."""

    model_config = ConfigDict(extra="allow")

    measure: str
    path: str | dict[str, str] = ""
    size: Annotated[int, Field(ge=1)] = 100
    weight: Annotated[float, Field(gt=0)] = 1.0
    columns: dict[str, str] = {}
    test: dict[str, Any] = {}


class Evaluation(Frozen):
    """`comet` is `embedded`, a checkpoint's path or a hub name; it is what quality is.
    `more_comet` are further ones, by the name that they are reported under. `max_new_tokens` bounds
    every generation; `beams` 1 is greedy decoding. `embedder`: a sentence encoder, for DES between
    a trial's mix and the evaluation. `reversion`: alphas at which every trained model is evaluated
    too, each a point of its own (`Recipe.alpha`)."""

    comet: str = "embedded"
    comet_device: Literal["auto", "cpu", "gpu"] = "auto"
    more_comet: dict[MetricName, str] = {}
    metrics: tuple[str, ...] = ("comet", "bleu", "chrf")
    quality: Annotated[tuple[QualitySet, ...], Field(min_length=1)]
    abilities: dict[str, AbilitySpec]
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    beams: Annotated[int, Field(ge=1)] = 1
    batch_tokens: Annotated[int, Field(ge=1)] = 8192
    bootstrap: Annotated[int, Field(ge=100)] = 1000
    embedder: str | None = None
    reversion: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()

    @model_validator(mode="after")
    def _alphas_differ(self) -> Evaluation:
        if len(set(self.reversion)) < len(self.reversion):
            raise ValueError("`reversion` holds an alpha twice")
        return self


def _baselines(given: object) -> tuple[str, ...]:
    """`all`, `none`, one or a list as the list of them. ValueError for any other."""
    words: dict[object, tuple[str, ...]] = {"all": BASELINES, "none": ()}
    found = words.get(given, (given,)) if isinstance(given, str) else given
    if not isinstance(found, list | tuple) or any(name not in BASELINES for name in found):
        raise ValueError(f"expected all, none, or a list of {', '.join(BASELINES)}")
    return tuple(name for name in BASELINES if name in found)


class Budget(Frozen):
    """`trials`: baselines, searched recipes and replicates together. `baselines`: which of them run
    (all, none, or a list), as far as the study has the sources for them.
    `max_minutes`: no trial starts after that. `trial_minutes`: for one trial in its workers.
    `replicate_share`: share of the trials that, near the end, train candidates of the front again
    with other seeds; 0 switches that off. `device_hours`: no trial starts once the trials took so
    many hours times devices. `patience`: none starts once so many trials in a row gained no
    hypervolume."""

    trials: Annotated[int, Field(ge=1)] = 14
    baselines: Annotated[tuple[Baseline, ...], BeforeValidator(_baselines)] = BASELINES
    replicate_share: Annotated[float, Field(ge=0, le=0.5)] = 0.25
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    trial_minutes: Annotated[float, Field(gt=0)] | None = None
    device_hours: Annotated[float, Field(gt=0)] | None = None
    patience: Annotated[int, Field(ge=2)] | None = None


class EarlyStopping(Frozen):
    """Rungs inside a trial: after these shares of its steps both objectives are measured on a part
    of the segments, and a trial that is worse all round ends there (`mtray.search.rungs`).

    `segments`: share of every evaluation set that a rung takes. A trial ends when its quality is in
    the `worst` share of a rung's trials and `dominating` of them are better in every objective by
    more than `margin` combined standard errors, as soon as `others` have been measured there; or
    when an objective breaks its floor by more than `margin` standard errors. The first rung ends a
    trial by a floor alone: quality may dip early.
    """

    rungs: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1, max_length=9)
    ]
    segments: Annotated[float, Field(gt=0, le=1)] = 0.25
    margin: Annotated[float, Field(ge=0)] = 1.0
    worst: Annotated[float, Field(gt=0, le=1)] = 0.5
    dominating: Annotated[int, Field(ge=1)] = 2
    others: Annotated[int, Field(ge=1)] = 4
    floors: dict[str, float] = {}

    @model_validator(mode="after")
    def _can_stop(self) -> EarlyStopping:
        if any(a >= b for a, b in zip(self.rungs, self.rungs[1:], strict=False)):
            raise ValueError("`rungs` must increase strictly")
        if len(self.rungs) == 1 and not self.floors:
            raise ValueError(
                "`rungs` holds one rung, and the first ends no trial without `floors`; give two"
            )
        if self.others < self.dominating:
            raise ValueError(
                f"`others` is {self.others}, fewer than the {self.dominating} `dominating` trials"
            )
        return self


class Limit(Frozen):
    """What a score must keep to; both ends may be given."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Limit:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a constraint needs at_least or at_most")
        return self

    def over(self, value: float) -> float:
        """How far a value is beyond the limit, in its own unit; 0 and below: it keeps to it."""
        below = -math.inf if self.at_least is None else self.at_least - value
        above = -math.inf if self.at_most is None else value - self.at_most
        return max(below, above)

    def text(self) -> str:
        ends = [("at least", self.at_least), ("at most", self.at_most)]
        return " and ".join(f"{words} {end:g}" for words, end in ends if end is not None)


class Study(Frozen):
    """What is fixed. Relative paths are relative to the study's file; `{corpora}` stands for the
    embedded study's corpora. `constraints`, by score: a trial that breaks one is infeasible and
    never on the front."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    model: str = "embedded"
    template: str = "labels"
    seed: Annotated[int, Field(ge=0)] = 1
    sampler: str = "auto"
    trust_remote_code: bool = False
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    filters: Filters = Filters()
    mixing: Mixing = Mixing()
    evaluation: Evaluation
    training: Training = Training()
    resources: Resources = Resources()
    budget: Budget = Budget()
    objectives: dict[str, Sense] = {"quality": "max", "retention": "max"}
    constraints: dict[str, Limit] = {}
    early_stopping: EarlyStopping | None = None
    defaults: dict[str, float | str] = {}

    @model_validator(mode="after")
    def _coherent(self) -> Study:
        names = [s.name for s in self.sources]
        twice = sorted(n for n in names if names.count(n) > 1)
        if twice:
            raise ValueError(f"`sources` holds a name twice: {twice[0]!r}")
        if not any(s.kind == "parallel" for s in self.sources):
            raise ValueError("`sources` needs at least one of kind parallel")
        check_training(self.training, self.resources)
        if len(self.objectives) < 2:
            raise ValueError(
                "`objectives` needs at least two; a front of one objective is a single point"
            )
        costs = [name for name in self.objectives if name.startswith("cost.")]
        if self.early_stopping and costs:
            raise ValueError(
                f"`early_stopping` compares trials at a rung, where {costs[0]!r} has no value yet; "
                "drop one of the two"
            )
        for name in self.early_stopping.floors if self.early_stopping else ():
            if name not in self.objectives:
                raise ValueError(
                    f"`early_stopping.floors` names {name!r}; `objectives` has "
                    f"{', '.join(self.objectives)}"
                )
        return self
