"""How a source's rows are turned into examples."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from mtray.schema.base import Direction, Frozen, Kind

Replay = Literal["er", "gr", "self"]
NoiseSide = Literal["source", "target"]
NoiseLevel = Literal["word", "sentence"]


class Noise(Frozen):
    """Noise on one side of a share of a parallel source's rows: the text is replaced by an
    imitation of a bad translation of the other side. Rows that are noisy at one `rate` are also
    noisy at any higher one.

    - `side`: the side that is replaced, in the direction from the first language into the second.
    - `level`: `word` translates word by word with a dictionary, `sentence` takes the output of a
      weaker system.
    - `rate`: the share of rows; with 0, only recipes with a `noise_rate` use this noise.
    - `path`: for `word` a dictionary, whose lines have a word, a tab and its translation into this
      side's language; for `sentence` a file with one line for each row of the source.
    - `apertium`: for `sentence`, an Apertium mode such as `eng-spa` that translates, instead of
      `path`.
    """

    side: NoiseSide
    level: NoiseLevel
    rate: Annotated[float, Field(ge=0, le=1)]
    path: str | None = None
    apertium: Annotated[str, Field(pattern=r"^[A-Za-z_]{2,9}-[A-Za-z_]{2,9}$")] | None = None

    @model_validator(mode="after")
    def _from_one_place(self) -> Noise:
        if self.level == "word" and (self.path is None or self.apertium):
            raise ValueError("noise by word needs `path`, a dictionary, and nothing else")
        if self.level == "sentence" and (self.path is None) == (self.apertium is None):
            raise ValueError("noise by sentence needs one of `path` and `apertium`")
        return self


def _one_or_several(found: Any, _: ValidatorFunctionWrapHandler) -> Any:
    """One noise stays one, and errors name its keys and not both forms."""
    if isinstance(found, list | tuple):
        return TypeAdapter(tuple[Noise, ...]).validate_python(found)
    return None if found is None else Noise.model_validate(found)


class Generation(Frozen):
    """How replay is generated. Answers are decoded greedily; those cut off at `max_new_tokens` are
    dropped.

    - `examples`: how many of the source's prompts are answered (`replay: gr`), or how many prompts
      the model makes up (`replay: self`).
    - `temperature`, `top_p`: how the prompts that the model makes up are sampled.
    """

    examples: Annotated[int, Field(ge=1)] = 1000
    max_new_tokens: Annotated[int, Field(ge=1)] = 256
    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0


class Rendered(Frozen):
    """How the rows of a source become examples. `directions`, `shots`, `context` and `noise` are
    for parallel sources, `documents` for parallel and monolingual ones, `replay` and `generation`
    for replay and instructions.

    - `directions`: the share of each translation direction (default: all rows from the first
      language into the second).
    - `shots`: the least and the most other rows of the source that precede a few-shot example; a
      recipe's `few_shot_share` says how many such examples there are.
    - `context`: how many preceding sentences of the document are put before every row.
    - `noise`: one, or a list from which recipes choose by side and level; at most one of a list has
      a `rate` above 0: the one of recipes that set no noise.
    - `documents`: join the rows of a document, a line each, up to `training.max_length`.
    - `replay`: what is replayed: the given examples (`er`), the base model's answers to the given
      prompts (`gr`), or prompts and answers that the model makes up (`self`).
    - `generation`: how the prompts and answers of `gr` and `self` are generated.
    """

    directions: dict[Direction, Annotated[float, Field(gt=0)]] = {}
    shots: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1, le=50)]] = (1, 5)
    context: Annotated[int, Field(ge=0)] = 0
    noise: Annotated[Noise | tuple[Noise, ...] | None, WrapValidator(_one_or_several)] = None
    documents: bool = False
    replay: Replay = "er"
    generation: Generation = Generation()

    @property
    def noises(self) -> tuple[Noise, ...]:
        """All noise that recipes may choose from."""
        return self.noise if isinstance(self.noise, tuple) else (self.noise,) if self.noise else ()

    @property
    def own_noise(self) -> Noise | None:
        """The noise of recipes that do not choose one."""
        if isinstance(self.noise, tuple):
            return next((noise for noise in self.noise if noise.rate), None)
        return self.noise

    def check_rendering(self, kind: Kind, languages: tuple[str, ...]) -> None:
        """ValueError for keys that do not fit the source's kind, its languages or each other."""
        fitting = {"parallel": (*PARALLEL, "documents"), "mono": ("documents",)}.get(
            kind, GENERATED
        )
        for key in (*PARALLEL, "documents", *GENERATED):
            if key not in fitting and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"`{key}` cannot be given for a {kind} source")
        if kind == "parallel":
            self._check_parallel(languages)

    def _check_parallel(self, languages: tuple[str, ...]) -> None:
        known = ["-".join(languages), "-".join(reversed(languages))]
        for direction in self.directions:
            if direction not in known:
                raise ValueError(
                    f"`directions` names {direction!r}; allowed: {' and '.join(known)}"
                )
        if self.shots[0] > self.shots[1]:
            raise ValueError("`shots` is [least, most], but the least exceeds the most")
        if self.documents and self.context:
            raise ValueError("`documents` joins whole documents; drop it or `context`")
        self._check_noises()
        if self.own_noise and set(self.directions) - {known[0]}:
            raise ValueError(
                f"`noise` is on a side of {known[0]}; define a separate source for {known[1]}"
            )

    def _check_noises(self) -> None:
        kinds = [f"{noise.side} by {noise.level}" for noise in self.noises]
        if twice := next((kind for kind in kinds if kinds.count(kind) > 1), None):
            raise ValueError(f"`noise` has noise on the {twice} twice; drop one")
        if len([noise for noise in self.noises if noise.rate]) > 1:
            raise ValueError(
                "`noise` has a `rate` above 0 more than once; set it to 0 for all but the noise of "
                "recipes that choose none"
            )


PARALLEL = ("directions", "shots", "context", "noise")
GENERATED = ("replay", "generation")
