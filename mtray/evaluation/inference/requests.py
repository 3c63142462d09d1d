"""Requests to a model, and its outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mtray.errors import EvaluationError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Request:
    """One request to a model.

    target: if None, the model generates an answer of at most `max_new_tokens`. Otherwise the
        request is for the log-likelihood of `target` after `prompt` and a space; with an empty
        prompt, without context.
    one_line: whether a line break ends an answer, and not only an end token.
    may_begin_empty: whether a one-line answer may begin with a line feed, as pretrained models
        often generate, and is empty then.
    within_positions: whether `max_new_tokens` is lowered to what the model's positions leave after
        the prompt.
    """

    prompt: str
    target: str | None
    max_new_tokens: int = 64
    one_line: bool = True
    may_begin_empty: bool = False
    within_positions: bool = False


@dataclass(frozen=True)
class Output:
    """The output for one request.

    text: the answer, stripped, up to its line feed if one line was requested; or the target.
    log_likelihood: in nats, of the generated tokens (including the end token) or of the target
        (without an end token).
    tokens: number of the text's own tokens.
    truncated: whether the answer reached `max_new_tokens` before its end.
    """

    text: str
    log_likelihood: float
    tokens: int
    truncated: bool = False


def positions_of(config: Any) -> int | None:
    """The most tokens of a text, None where the model's config does not say."""
    found: int | None = getattr(config, "max_position_embeddings", None)
    return found


def new_tokens(model: Any, request: Request, prompt: int) -> int:
    """The most tokens of a request's answer after a prompt of this many."""
    positions = positions_of(model.config)
    if not request.within_positions or positions is None:
        return request.max_new_tokens
    return max(1, min(request.max_new_tokens, positions - prompt))


def check_length(model: Any, length: int, prompt: str) -> None:
    """Raise EvaluationError if a request of this many tokens, with its answer, is too long for the
    model."""
    limit = positions_of(model.config)
    if limit is not None and length > limit:
        raise EvaluationError(
            f"a request of {length} tokens (with room for the answer) is longer than the "
            f"model's {limit}: {prompt[:60]!r}; use fewer `shots`, "
            "shorter texts or a smaller `max_new_tokens`"
        )
