"""What one trial does: the recipe, and the mix drawn for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from mtray.schema.base import DIRECTION_PATTERN, NAME_PATTERN, Frozen, Kind, Pool
from mtray.schema.rendering import NoiseLevel, NoiseSide
from mtray.schema.training import Schedule

# parameters that an earlier version had under another name
RENAMED = {"alpha": "reversion_alpha"}
# parameters that are no fields of `Recipe`: then a source's name, or a direction such as en-uk
WEIGHT, DIRECTION = "weight.", "direction."
# the parameter that decides how much of a kind, or of all directions, a recipe has
SIZE_OF: dict[Pool, str] = {
    "parallel": "parallel_size", "mono": "mono_ratio", "replay": "replay_fraction",
    "directions": "parallel_size",
}  # fmt: skip
# how rows are rendered, and directions
RENDERING_PARAMETERS = (
    "few_shot_share", "shots", "template", "instructions", "noise_rate", "noise_side",
    "noise_level",
)  # fmt: skip
LORA_SCALE = 2.0  # of a recipe without `lora_alpha`
# what the random choice of frozen blocks depends on; a field added here would change the blocks of
# recorded trials
HASHED = (
    "parallel_size", "mono_ratio", "replay_fraction", "few_shot_share", "frozen_layers",
    "freeze_policy", "method", "lora_rank", "lora_alpha", "lora_dropout", "learning_rate",
    "reversion_alpha",
)  # fmt: skip


class Recipe(Frozen):
    """What one trial does to the base model; `parallel_size` 0 leaves it untouched. A recipe may
    also have `weight.SOURCE` for any source of the study: its weight among the sources of its kind,
    instead of the one that `source_weights` gives it; 0 leaves the source out. And it may have
    `direction.xx-yy` for any direction between two languages of a parallel source: its share of all
    pairs, instead of the one that follows from the sources' `directions`; 0 leaves the direction
    out.

    - `parallel_size`: parallel pairs in the mix.
    - `mono_ratio`: monolingual examples per parallel pair.
    - `replay_fraction`: replay's share f of all examples: n_replay = f / (1 - f) (n_parallel +
      n_mono).
    - `few_shot_share`: share of the pairs that are shown after other pairs of their source (its
      `shots`).
    - `shots`: how many pairs precede a few-shot example, if they fit; None: a number from the range
      of its source's `shots`.
    - `template`: the template of the training examples; evaluation keeps the study's. None: the
      study's.
    - `instructions`: how many different instructions a template with a pool uses (nested: a larger
      number includes those of a smaller one); None: all.
    - `noise_rate`: the share of noisy rows in sources that declare `noise`; None: the `rate` of the
      source's `noise`.
    - `noise_side`: the noisy side, source or target, in the direction of the example; None: that of
      the source's noise.
    - `noise_level`: the level of the source's `noise` that is used, word or sentence; None: that of
      the source's noise.
    - `source_weights`: whether sources of one kind share by the study's `weight`s or equally.
    - `frozen_layers`: transformer blocks whose weights are not trained; norms and head are, and
      embeddings unless `freeze_embeddings` says so.
    - `freeze_embeddings`: which embeddings are not trained: none, those of the input (and with
      tied weights those of the output), or those of input and output (both).
    - `freeze_policy`: which blocks are frozen: those nearest the input (bottom), nearest the output
      (top), random ones, those most changed since `training.freeze_from`, or those with the lowest
      signal-to-noise ratio (snr).
    - `method`: what is trained: all weights (full), adapters on every linear layer of the blocks
      (lora), or the same on weights quantized to 4 bits (qlora, needs a GPU).
    - `lora_rank`: rank of the adapters.
    - `lora_alpha`: as in peft: the adapter's product is multiplied by lora_alpha / lora_rank; None
      is twice the rank.
    - `lora_dropout`: dropout on the input of an adapter during training.
    - `learning_rate`: peak rate of AdamW, without a default, since none suits every model; None is
      for recipes that train nothing.
    - `schedule`, `warmup`, `weight_decay`, `epochs`, `batch_examples`: as in the study's
      `training`, instead of its value; None: the study's.
    - `max_length`: examples with more tokens are left out, at most as many as the study's
      `training.max_length`, up to which sources are tokenised; None: the study's.
    - `reversion_alpha`: the weights evaluated are w0 + reversion_alpha (w - w0), with w0 the base
      model's and w the tuned ones; with LoRA the adapter is scaled.
    - `stop_after`: the share of the planned steps after which the weights are taken; the learning
      rate schedule stays that of the whole plan (needs a constant `schedule`).
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[float, Field(ge=0)]] = Field(init=False)

    parallel_size: Annotated[int, Field(ge=0)]
    mono_ratio: Annotated[float, Field(ge=0)] = 0.0
    replay_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    few_shot_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    shots: Annotated[int | None, Field(ge=1, le=50)] = None
    template: Annotated[str | None, Field(min_length=1)] = None
    instructions: Annotated[int | None, Field(ge=1)] = None
    noise_rate: Annotated[float | None, Field(ge=0, le=1)] = None
    noise_side: NoiseSide | None = None
    noise_level: NoiseLevel | None = None
    source_weights: Literal["study", "equal"] = "study"
    frozen_layers: Annotated[int, Field(ge=0)] = 0
    freeze_embeddings: Literal["none", "input", "both"] = "none"
    freeze_policy: Literal["bottom", "top", "random", "most_changed", "snr"] = "bottom"
    method: Literal["full", "lora", "qlora"] = "full"
    lora_rank: Annotated[int, Field(ge=1)] = 16
    lora_alpha: Annotated[float | None, Field(gt=0)] = None
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    learning_rate: Annotated[float | None, Field(gt=0)] = None
    schedule: Schedule | None = None
    warmup: Annotated[float | None, Field(ge=0, le=1)] = None
    weight_decay: Annotated[float | None, Field(ge=0)] = None
    epochs: Annotated[float | None, Field(gt=0)] = None
    batch_examples: Annotated[int | None, Field(ge=1)] = None
    max_length: Annotated[int | None, Field(ge=8)] = None
    reversion_alpha: Annotated[float, Field(ge=0, le=1)] = 1.0
    stop_after: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_version(cls, found: Any) -> Any:
        """Its records hold `alpha`, and with it `lora_alpha` as a multiple of the rank."""
        if not isinstance(found, dict) or "alpha" not in found:
            return found
        values = {RENAMED.get(name, name): value for name, value in found.items()}
        scale = values.pop("lora_alpha", LORA_SCALE)
        if scale != LORA_SCALE:
            rank = values.get("lora_rank", cls.model_fields["lora_rank"].default)
            values["lora_alpha"] = scale * rank
        return values

    @model_validator(mode="before")
    @classmethod
    def _in_one_order(cls, found: Any) -> Any:
        """Weights and directions sorted, so that equal recipes have equal texts; nothing else is
        allowed beside the fields. It stands after, so it runs before, the reader of an earlier
        version's names."""
        if not isinstance(found, dict):
            return found
        others = [name for name in found if name not in (*cls.model_fields, *RENAMED)]
        for name in others:
            if not is_parameter(name):
                raise ValueError(f"unknown parameter {name!r}")
        fields = {name: value for name, value in found.items() if name not in others}
        return fields | {name: found[name] for name in sorted(others) if found[name] is not None}

    @property
    def weights(self) -> dict[str, float]:
        """The weights that it gives, by source."""
        return self._named(WEIGHT)

    @property
    def directions(self) -> dict[str, float]:
        """The shares that it gives, by direction."""
        return self._named(DIRECTION)

    def _named(self, prefix: str) -> dict[str, float]:
        extra = self.model_extra or {}
        return {n.removeprefix(prefix): v for n, v in extra.items() if n.startswith(prefix)}

    def value(self, name: str) -> Any:
        """The value of a parameter by its name; None of a weight or direction that it does not
        give."""
        if name in FIELDS:
            return getattr(self, name)
        return (self.model_extra or {}).get(name)

    def with_values(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with other values of some parameters; a weight or direction of None is not
        given."""
        return Recipe.model_validate(self.model_dump() | dict(values))

    def hashed_fields(self) -> dict[str, Any]:
        """The fields that earlier versions hashed, in their names and units."""
        names = {now: before for before, now in RENAMED.items()}
        known = self.model_dump(mode="json")
        fields = {names.get(name, name): known[name] for name in HASHED}
        return fields | {"lora_alpha": self.lora_scale}

    @property
    def lora_scale(self) -> float:
        """The factor of the adapter's product."""
        return LORA_SCALE if self.lora_alpha is None else self.lora_alpha / self.lora_rank


FIELDS = frozenset(Recipe.model_fields)  # pydantic takes long to look them up


def is_parameter(name: str) -> bool:
    """Whether a recipe may have a value of this name."""
    patterns = {WEIGHT: NAME_PATTERN, DIRECTION: DIRECTION_PATTERN}
    return name in Recipe.model_fields or any(
        name.startswith(prefix) and re.match(pattern, name.removeprefix(prefix))
        for prefix, pattern in patterns.items()
    )


def parameter_names() -> str:
    """All parameters in words, for messages."""
    return ", ".join((*Recipe.model_fields, f"{WEIGHT}SOURCE", f"{DIRECTION}xx-yy"))


def default_of(name: str) -> Any:
    """A parameter's value in a recipe that does not give it; None of a weight or direction."""
    return Recipe.model_fields[name].default if name in Recipe.model_fields else None


class SourceShare(Frozen):
    """One source's part of a mix.

    - `requested`: what the recipe asks for, in examples.
    - `realised`: the whole number of examples drawn.
    - `available`: how many examples the source holds.
    - `held`: how many of them, the first in the study's order, the draw is taken from (0: not
      recorded; in older records less than `available`).
    - `fitting`: how many of these are within the recipe's own `max_length`; the draw is taken from
      them (None: it has none, or all are).
    - `shared`: in a replicate, how many of the examples drawn are also in the study's own draw of
      the same size.
    - `tokens`: tokens that the model sees in one epoch.
    - `repeats`: realised / available, or / fitting.
    - `requested_tokens`: what the recipe asks for in tokens, where it counts those (`mixing:
      {count: tokens}`).
    - `store`: where the tokens came from: `mapped` from the token store, `sent` from it by another
      machine, or empty for neither.
    - `store_key`: key of that token store.
    - `few_shot`: how many of the examples drawn are few-shot examples.
    - `directions`: examples drawn by direction, if the recipe gives directions.
    - `noisy`: how many of the examples drawn differ from the clean ones, if the recipe sets noise.
    - `dropped`: examples of the source that are longer than `max_length` and therefore in no mix.
    - `digest`: hash of the token ids drawn, in their order (empty: none, or a record of an older
      version).
    - `seen`: of a training that stopped early (`Recipe.stop_after`), or of less than an epoch, how
      many distinct examples it was trained on; None: all of them.
    - `seen_tokens`: the tokens of those examples.
    - `trained`: of a training whose last epoch is a part of one, how many examples it was trained
      on, each counted once per epoch; None: `realised` times the epochs.
    """

    source: str
    kind: Kind
    requested: float
    realised: int
    available: int
    held: int = 0
    fitting: int | None = None
    shared: int = 0
    tokens: int
    repeats: float
    requested_tokens: float | None = None
    store: Literal["", "mapped", "sent"] = ""
    store_key: str = ""
    few_shot: int = 0
    directions: dict[str, int] = {}
    noisy: int | None = None
    dropped: int = 0
    digest: str = ""
    seen: int | None = None
    seen_tokens: int | None = None
    trained: int | None = None

    @property
    def examples(self) -> int:
        """How many distinct examples were trained on."""
        return self.realised if self.seen is None else self.seen


class Mix(Frozen):
    """The examples drawn for a recipe. `examples` and `tokens` count what was trained on.

    - `tokenised`: texts tokenised while the mix was drawn; 0 where all come from token stores.
    """

    shares: tuple[SourceShare, ...] = ()
    tokenised: int = 0

    @property
    def examples(self) -> int:
        return sum(s.examples for s in self.shares)

    @property
    def tokens(self) -> int:
        return sum(s.tokens if s.seen_tokens is None else s.seen_tokens for s in self.shares)
