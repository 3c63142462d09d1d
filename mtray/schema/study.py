"""What is fixed during a search: the study and its parts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from mtray.schema.base import NAME_PATTERN, POOLS, Direction, Frozen, Kind
from mtray.schema.filters import Filters, check_filters
from mtray.schema.mixing import Mixing
from mtray.schema.preference import Preference, check_preferences
from mtray.schema.rendering import Rendered
from mtray.schema.resources import Resources
from mtray.schema.search import Budget, EarlyStopping, Limit, check_early_stopping
from mtray.schema.training import Training, check_stop, check_training

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
MetricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
Command = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
Sense = Literal["max", "min"]
Take = Literal["sample", "first"]
Paragraphs = Literal["auto", "keep", "join"]
Unit = Literal["segment", "document"]
SACREBLEU_PREFIX = "wmt:"  # before sacrebleu's name of a test set, in place of a path
HUB_PREFIX = "hf:"  # before a data set's name on the Hugging Face hub, in place of a path
Format = Literal["text", "tsv", "csv", "jsonl", "json", "parquet", "tmx", "sgm", "wmt-xml"]


class Source(Rendered):
    """One corpus. `split`, `config` and `revision` are for data sets; `licence` is only shown.

    - `path`: one file, a file for each language (line-parallel text, WMT's SGM), a data set's
      folder, or `hf:` and a data set's name (`mtray.data.readers.sources`).
    - `columns`: names of its columns, by default the language codes, `text` for monolingual data,
      and `prompt` and `target` for replay and instruct (two names for one kind); `document` names
      the column of document ids.
    - `format`: needed if neither the file's name nor its content shows it.
    - `weight`: its share among the sources of its kind.
    - `max_repeats`: a recipe that would repeat the source more often is infeasible (with
      `training.allow_repeats`; None: no cap).
    - `filters`: keys of the study's `filters` that differ for this source.
    """

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
            raise ValueError("`path` is missing; only `replay: self` needs none")
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
        """The default column names: two, or one for text."""
        if self.kind == "parallel":
            return self.languages
        if self.kind == "mono":
            return ("text",)
        return ("prompt", "target") if self.replay == "er" else ("prompt",)

    @property
    def pool(self) -> Kind:
        """The kind that a recipe counts it as."""
        return POOLS.get(self.kind, self.kind)


class QualitySet(Frozen):
    """Parallel segments on which quality is measured.

    - `path`: a file, a file for each language, a FLORES folder (with `split`), or `wmt:` and
      sacrebleu's name of the set.
    - `columns`: may name a `document`, whose segments are resampled together, and a `domain`.
    - `unit`: what is translated at once; the segments of a `document` are joined, each on a line of
      its own.
    - `size`: how many of these units are used.
    - `take`: a sample stratified by domains and documents, or the first ones
      (`mtray.data.stratified_sample`).
    - `test`: the keys, above all `path`, that differ for the held-out test segments, which no
      search sees.
    """

    direction: Direction
    path: str | dict[Language, str]
    split: Literal["dev", "devtest"] | None = None
    columns: dict[str, str] = {}
    unit: Unit = "segment"
    size: Annotated[int, Field(ge=1)] = 200
    take: Take = "sample"
    test: dict[str, Any] = {}


class AbilitySpec(Frozen):
    """One preserved ability. Further keys are the measure's own options, which are checked when it
    is built. `take`, `test` and the columns `document` and `domain` are as in `QualitySet`.

    - `measure`: name of the measure.
    - `path`: the file it reads, or a file for each role.
    - `weight`: its weight in the mean retention.
    """

    model_config = ConfigDict(extra="allow")

    measure: str
    path: str | dict[str, str] = ""
    size: Annotated[int, Field(ge=1)] = 100
    take: Take = "sample"
    weight: Annotated[float, Field(gt=0)] = 1.0
    columns: dict[str, str] = {}
    test: dict[str, Any] = {}


NO_COMET = "none"  # as `evaluation.comet`: no learned metric, and no quality
METRICS = ("comet", "bleu", "chrf")  # the default
# keys of `Evaluation` for what is recorded in addition to the scores
RECORDED_BESIDE = frozenset({"divergence"})


class Divergence(Frozen):
    """How far training shifts the model's distribution on the new task
    (`mtray.evaluation.divergence`).

    - `prompts`: how many quality prompts are used at most; 0: divergence is not measured.
    """

    prompts: Annotated[int, Field(ge=0, strict=True)] = 32


class Evaluation(Frozen):
    """How trials are evaluated.

    - `comet`: the metric that defines quality: a hub name, a checkpoint's path, `embedded` (the
      embedded study's small metric, only under this name), or `none`, with which quality is not
      measured.
    - `comet_device`: the device on which learned metrics run.
    - `comet_long`: how COMET scores segments that are longer than it reads, and only these: by
      their beginning, or in parts (`mtray.evaluation.metrics.long_texts`).
    - `more_comet`: further COMET models, by the name under which they are reported.
    - `more_metrics`: the study's own metrics, by the name under which they are reported: a command
      each, as a list of its parts, that speaks the protocol of
      `mtray.evaluation.metrics.worker.protocol`. It is run as it stands, without a shell; parts
      that begin with `./` or `../` are relative to the study's file.
    - `max_new_tokens`: the limit on every generation.
    - `beams`: 1 is greedy decoding.
    - `embedder`: a sentence encoder, for DES (the cosine of mean embeddings) between a trial's mix
      and the evaluation.
    - `reversion`: alphas at which every trained model is evaluated as well, each a point of its own
      (`Recipe.reversion_alpha`).
    - `intermediate_checkpoints`: shares of the steps after which every training is evaluated as
      well, each a point of its own (`Recipe.stop_after`), at the recipe's
      `reversion_alpha`.
    - `sample_seed`: seed of the samples of all evaluation sets, separate from the study's seed, so
      that studies and replicates with different training seeds are measured on the same segments.
    - `divergence`: recorded in addition to the scores.
    """

    comet: str
    comet_device: Literal["auto", "cpu", "gpu"] = "auto"
    comet_long: Literal["truncate", "sentences", "sliding"] = "truncate"
    more_comet: dict[MetricName, str] = {}
    more_metrics: dict[MetricName, Command] = {}
    metrics: tuple[str, ...] = METRICS
    quality: Annotated[tuple[QualitySet, ...], Field(min_length=1)]
    abilities: dict[str, AbilitySpec]
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    beams: Annotated[int, Field(ge=1)] = 1
    batch_tokens: Annotated[int, Field(ge=1)] = 8192
    bootstrap: Annotated[int, Field(ge=100)] = 1000
    sample_seed: Annotated[int, Field(ge=0)] = 0
    embedder: str | None = None
    reversion: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    intermediate_checkpoints: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    divergence: Divergence = Divergence()

    @model_validator(mode="before")
    @classmethod
    def _says_which_comet(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if given.get("comet") is None:
            raise ValueError(
                "`comet` is missing; give a COMET model (a hub name such as "
                "Unbabel/wmt22-comet-da, or a checkpoint's folder), `none` (quality is not "
                "measured then), or `embedded` (the embedded study's small metric, which is not "
                "comparable with any other)"
            )
        if given["comet"] != NO_COMET:
            return given
        found = {"metrics": [name for name in METRICS if name != "comet"], **given}
        if isinstance(found["metrics"], list | tuple) and "comet" in found["metrics"]:
            raise ValueError("`metrics` names comet, but `comet` is none; change one of the two")
        return found

    @model_validator(mode="after")
    def _alphas_and_shares_differ(self) -> Evaluation:
        if len(set(self.reversion)) < len(self.reversion):
            raise ValueError("`reversion` has an alpha twice")
        if len(set(self.intermediate_checkpoints)) < len(self.intermediate_checkpoints):
            raise ValueError("`intermediate_checkpoints` has a share twice")
        return self

    @property
    def further_points(self) -> int:
        """How many further points a training gives: those of reversion, then the intermediate
        checkpoints."""
        return len(self.reversion) + len(self.intermediate_checkpoints)

    def without_further_points(self) -> Evaluation:
        return self.model_copy(update={"reversion": (), "intermediate_checkpoints": ()})


class Study(Frozen):
    """What is fixed during a search. Relative paths are relative to its file; `{corpora}` stands
    for the corpora of the embedded study.

    - `model`: `embedded`, a folder, a hub name, or `run:NAME/7`: the model of trial 7 of the run
      NAME, from its kept weights (`run:NAME/base`: the model that the run began with).
    - `paragraphs`: whether the line breaks of texts that are translated stay (`keep`), in prompts,
      training rows and answers, or become spaces (`join`). With `auto` they stay with chat
      templates, and become spaces with the others, which write each text on one line.
    - `trust_remote_code`: whether code that comes with a model, its tokenizer or the sentence
      encoder may run.
    - `constraints`: limits by score; a trial that breaks one is infeasible and never on the front.
    - `prefer`: what matters, by objective; search, answer and picture follow it.
    - `defaults`: values of recipe parameters that the search space does not set.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    model: str = "embedded"
    template: str = "labels"
    paragraphs: Paragraphs = "auto"
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
    prefer: dict[str, Preference] = {}
    early_stopping: EarlyStopping | None = None
    defaults: dict[str, float | str] = {}

    @model_validator(mode="after")
    def _coherent(self) -> Study:
        names = [s.name for s in self.sources]
        if twice := sorted(n for n in names if names.count(n) > 1):
            raise ValueError(f"`sources` has a name twice: {twice[0]!r}")
        if not any(s.kind == "parallel" for s in self.sources):
            raise ValueError("`sources` needs at least one of kind parallel")
        check_training(self.training, self.resources)
        for share in self.evaluation.intermediate_checkpoints:
            check_stop(share, "evaluation.intermediate_checkpoints", self.training)
        if len(self.objectives) < 2:
            raise ValueError(
                "`objectives` needs at least two; a front of one objective is a single point"
            )
        check_early_stopping(self.early_stopping, self.objectives)
        check_preferences(self.prefer, self.objectives)
        return self
