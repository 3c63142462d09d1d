"""What one trial does: the recipe, and the mix that came of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtray.schema.base import Frozen, Kind


class Recipe(Frozen):
    """What one trial does to the base model; `parallel_size` 0 leaves it untouched.
    `source_weights`: sources of one kind share by the study's `weight`s, or
    equally. `learning_rate` has no default that would be right for a model: None is for what is not
    trained. `stop_after`: the share of the planned steps after which the weights are taken; the
    learning rate stays that of the whole plan."""

    parallel_size: Annotated[int, Field(ge=0)]
    mono_ratio: Annotated[float, Field(ge=0)] = 0.0
    replay_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    few_shot_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    source_weights: Literal["study", "equal"] = "study"
    frozen_layers: Annotated[int, Field(ge=0)] = 0
    freeze_policy: Literal["bottom", "top", "random", "most_changed", "snr"] = "bottom"
    method: Literal["full", "lora", "qlora"] = "full"
    lora_rank: Annotated[int, Field(ge=1)] = 16
    lora_alpha: Annotated[float, Field(gt=0)] = 2.0
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    learning_rate: Annotated[float | None, Field(gt=0)] = None
    alpha: Annotated[float, Field(ge=0, le=1)] = 1.0
    stop_after: Annotated[float, Field(gt=0, le=1)] = 1.0


class SourceShare(Frozen):
    """One source's part of a mix. `requested` is what the recipe asks for, `realised` the whole
    number drawn, `available` what the source holds, `held` the first so many in the study's order
    that the draw is from (0: not recorded; in older records less than `available`), `tokens` those
    that the model sees in one epoch, `repeats` realised / available. `shared`: of a replicate, so
    many of the realised are in the study's own draw of as many, too. `requested_tokens`: where the
    recipe asks for tokens (`mixing: {count: tokens}`); `requested` is that in examples. `store`:
    where the tokens came from, `mapped` from the token store of key `store_key` or `sent` from
    there by another machine; empty: neither. `few_shot`: so many of the realised are drawn to stand
    after shots. `dropped`: examples of the source that are longer than `max_length`, and so in no
    mix. `digest`: of the token ids drawn, in their order (empty: none, or the record of an older
    version). `seen`, `seen_tokens`: of weights taken after a part of the steps
    (`Recipe.stop_after`), so many different ones of the realised, with so many tokens, were trained
    on until there; None: not counted, since the training went to its end."""

    source: str
    kind: Kind
    requested: float
    realised: int
    available: int
    held: int = 0
    shared: int = 0
    tokens: int
    repeats: float
    requested_tokens: float | None = None
    store: Literal["", "mapped", "sent"] = ""
    store_key: str = ""
    few_shot: int = 0
    dropped: int = 0
    digest: str = ""
    seen: int | None = None
    seen_tokens: int | None = None

    @property
    def examples(self) -> int:
        """Those that were trained on."""
        return self.realised if self.seen is None else self.seen


class Mix(Frozen):
    """`tokenised`: texts that were tokenised while it was drawn; 0 where all come from stores.
    `examples` and `tokens` are of what was trained on."""

    shares: tuple[SourceShare, ...] = ()
    tokenised: int = 0

    @property
    def examples(self) -> int:
        return sum(s.examples for s in self.shares)

    @property
    def tokens(self) -> int:
        return sum(s.tokens if s.seen_tokens is None else s.seen_tokens for s in self.shares)
