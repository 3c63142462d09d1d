"""Every noun of mtray, frozen; unknown keys are errors. Files are read into these in `mtray.study`
and `mtray.space`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# a run and its folder have such a name: no path, nothing hidden, no option
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
Direction = Annotated[
    str, Field(pattern=r"^[a-z]{2,3}-[a-z]{2,3}$", description="source-target, such as en-uk")
]
Kind = Literal["parallel", "mono", "replay"]
Sense = Literal["max", "min"]


class Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )


class Source(Frozen):
    """One corpus. `path` is one file (Parquet, JSONL, TSV, CSV, or the WMT JSON list) or, for
    line-parallel text, a file for each language. Columns default to the language codes, `text` for
    monolingual data and `prompt`, `target` for replay."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    kind: Kind
    path: str | dict[Language, str]
    languages: Annotated[tuple[Language, ...], Field(min_length=0)] = ()
    columns: dict[str, str] = {}
    weight: Annotated[float, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _languages_fit_kind(self) -> Source:
        wanted = {"parallel": 2, "mono": 1, "replay": None}[self.kind]
        if wanted is not None and len(self.languages) != wanted:
            raise ValueError(
                f"a {self.kind} source needs {wanted} `languages`, found {len(self.languages)}"
            )
        return self


class QualitySet(Frozen):
    """Parallel segments that quality is measured on; the first `size` of the file."""

    direction: Direction
    path: str | dict[Language, str]
    columns: dict[str, str] = {}
    size: Annotated[int, Field(ge=1)] = 200


class AbilitySpec(Frozen):
    """One preserved ability: which measure, on which file. Options that a measure does not know are
    errors when it is built."""

    measure: str
    path: str
    size: Annotated[int, Field(ge=1)] = 100
    weight: Annotated[float, Field(gt=0)] = 1.0
    direction: Direction | None = None
    language: Language | None = None
    shots: Annotated[int, Field(ge=0)] = 3
    shots_path: str | None = None
    columns: dict[str, str] = {}


class Evaluation(Frozen):
    """`comet` is `embedded`, a checkpoint's path or a hub name. `max_new_tokens` bounds every
    generation, decoding is greedy."""

    comet: str = "embedded"
    quality: Annotated[tuple[QualitySet, ...], Field(min_length=1)]
    abilities: dict[str, AbilitySpec]
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    batch_tokens: Annotated[int, Field(ge=1)] = 8192
    bootstrap: Annotated[int, Field(ge=100)] = 1000


class Training(Frozen):
    """`batch_examples` is the global batch, shared out over the workers; each takes its part in
    micro-batches of similar length. `warmup` is a share of all steps.
    `precision` auto: bf16 where the machine computes in it."""

    epochs: Annotated[int, Field(ge=1)] = 1
    batch_examples: Annotated[int, Field(ge=1)] = 64
    max_length: Annotated[int, Field(ge=8)] = 256
    max_steps: Annotated[int, Field(ge=1)] | None = None
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.05
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    gradient_clipping: Annotated[float, Field(gt=0)] = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    zero_stage: Annotated[int, Field(ge=0, le=3)] = 0
    allow_repeats: bool = False


class Resources(Frozen):
    """Per trial; `concurrent_trials` 0 lets the cluster's size decide."""

    workers: Annotated[int, Field(ge=1)] = 1
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1
    gpus_per_worker: Annotated[float, Field(ge=0)] = 0
    concurrent_trials: Annotated[int, Field(ge=0)] = 0


class Budget(Frozen):
    trials: Annotated[int, Field(ge=1)] = 14
    max_minutes: Annotated[float, Field(gt=0)] | None = None


class Study(Frozen):
    """What is fixed. Relative paths are relative to the study's file; `{corpora}` stands for the
    embedded study's corpora."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    model: str = "embedded"
    template: str = "labels"
    seed: Annotated[int, Field(ge=0)] = 1
    sampler: str = "auto"
    trust_remote_code: bool = False
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    evaluation: Evaluation
    training: Training = Training()
    resources: Resources = Resources()
    budget: Budget = Budget()
    objectives: dict[str, Sense] = {"quality": "max", "retention": "max"}
    defaults: dict[str, float] = {}

    @model_validator(mode="after")
    def _coherent(self) -> Study:
        names = [s.name for s in self.sources]
        twice = sorted(n for n in names if names.count(n) > 1)
        if twice:
            raise ValueError(f"`sources` holds a name twice: {twice[0]!r}")
        if not any(s.kind == "parallel" for s in self.sources):
            raise ValueError("`sources` needs at least one of kind parallel")
        if len(self.objectives) < 2:
            raise ValueError(
                "`objectives` needs at least two; a front of one objective is a single point"
            )
        return self


class Recipe(Frozen):
    """What one trial does to the base model; `parallel_size` 0 leaves it untouched. See the README
    for every parameter."""

    parallel_size: Annotated[int, Field(ge=0)]
    mono_ratio: Annotated[float, Field(ge=0)] = 0.0
    replay_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    frozen_layers: Annotated[int, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3


class SourceShare(Frozen):
    """One source's part of a mix. `requested` is what the recipe asks for, `realised` the whole
    number drawn, `available` what the source holds, `tokens` those that the model sees in one
    epoch, `repeats` realised / available."""

    source: str
    kind: Kind
    requested: float
    realised: int
    available: int
    tokens: int
    repeats: float


class Mix(Frozen):
    shares: tuple[SourceShare, ...] = ()

    @property
    def examples(self) -> int:
        return sum(s.realised for s in self.shares)

    @property
    def tokens(self) -> int:
        return sum(s.tokens for s in self.shares)


class Score(Frozen):
    """A measured value with its 95 % interval (`low`, `high`; bootstrap over `n` clusters) and what
    it was measured with."""

    value: float
    low: float
    high: float
    n: int
    signature: str

    @model_validator(mode="after")
    def _finite(self) -> Score:
        import math

        if not all(map(math.isfinite, (self.value, self.low, self.high))):
            raise ValueError(
                f"a score must be finite, found {self.value} ({self.low}, {self.high})"
            )
        return self


class TrainingRecord(Frozen):
    """`loss` holds (step, mean training loss since the entry before). Tokens are those seen,
    without padding."""

    steps: int
    tokens: int
    tokens_per_second: float
    trainable_parameters: int
    total_parameters: int
    accumulated_learning_rate: float
    precision: str
    loss: tuple[tuple[int, float], ...]


Role = Literal["search", "base", "parallel_only", "mono_one_to_one"]
State = Literal["complete", "failed"]


class TrialRecord(Frozen):
    """One trial, as `trials/<number>/result.json`. The base model untouched has the number -1 and
    the folder `trials/base`.

    `objectives` are the values that the search sees. `scores` holds everything measured, by name:
    `comet.en-uk`, `bleu.en-uk`, `chrf.en-uk`, `<ability>` (raw) and `retention.<ability>`.
    `seconds` is by phase.
    """

    number: int
    role: Role = "search"
    state: State
    recipe: Recipe
    seed: int
    mix: Mix = Mix()
    objectives: dict[str, Score] = {}
    scores: dict[str, Score] = {}
    counts: dict[str, dict[str, float]] = {}
    training: TrainingRecord | None = None
    seconds: dict[str, float] = {}
    versions: dict[str, str] = {}
    reason: str | None = None
    finished: str = ""
    extra: dict[str, Any] = {}
