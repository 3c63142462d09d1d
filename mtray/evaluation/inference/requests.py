"""What is asked of a model, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mtray.errors import EvaluationError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Request:
    """`target` None: an answer of at most `max_new_tokens`, of one line or of as many as the model
    likes; one of one line does not begin with a line's end, as pretrained models often would,
    unless it `may_begin_empty`, and is empty then. Otherwise: how likely is `target` after `prompt`
    and a space; with an empty prompt, after nothing."""

    prompt: str
    target: str | None
    max_new_tokens: int = 64
    one_line: bool = True
    may_begin_empty: bool = False


@dataclass(frozen=True)
class Output:
    """`text` is the answer, stripped, up to its line's end where one line was asked for; or the
    target. `log_likelihood`, in nats, is of what was generated (with the token that ended it) or of
    the target (without an end token); `tokens` counts the text's own. `truncated`: the answer met
    `max_new_tokens` before its end."""

    text: str
    log_likelihood: float
    tokens: int
    truncated: bool = False


def check_length(model: Any, length: int, prompt: str) -> None:
    """EvaluationError when a request of so many tokens, with its answer, is too long for the
    model."""
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and length > limit:
        raise EvaluationError(
            f"a request of {length} tokens (with room for the answer) is longer than the "
            f"model's {limit}: {prompt[:60]!r}; take fewer `shots`, "
            "shorter texts or a smaller `max_new_tokens`"
        )
