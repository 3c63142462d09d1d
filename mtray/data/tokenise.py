"""Text to token ids, for training and for evaluation alike, so that a model is asked as it was
taught.

`tokenizer` is any tokenizer of transformers. Specials are added here and only here: what the
tokenizer itself puts before a text, or, where it puts nothing there, its begin-of-sequence token if
it has one; the end token after a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtray.errors import DataError, ModelError

Ids = list[int]


def prefix_ids(tokenizer: Any) -> Ids:
    """The special tokens a text begins with: each exactly once, whether or not the tokenizer adds
    them by itself."""
    probe = tokenizer("a", return_special_tokens_mask=True)
    mask = probe["special_tokens_mask"]
    own = probe["input_ids"][: mask.index(0) if 0 in mask else 0]
    if own or tokenizer.bos_token_id is None:
        return list(own)
    return [tokenizer.bos_token_id]


def _encode(tokenizer: Any, texts: Sequence[str]) -> list[Ids]:
    if not texts:
        return []
    # one call for all: fast tokenizers work in parallel; `verbose` would warn of texts longer than
    # the model's context
    return list(tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"])


def prompt_ids_batch(tokenizer: Any, texts: Sequence[str]) -> list[Ids]:
    """`prompt_ids` of many texts."""
    prefix = prefix_ids(tokenizer)
    return [prefix + ids for ids in _encode(tokenizer, texts)]


def prompt_ids(tokenizer: Any, text: str) -> Ids:
    """Ids of a prompt, begin token first where the tokenizer has one, no end token."""
    return prompt_ids_batch(tokenizer, [text])[0]


def encode_examples(
    tokenizer: Any, pairs: Sequence[tuple[str, str]], with_end: bool = True
) -> list[tuple[Ids, int]]:
    """`continuation_ids` of many (prompt, target)."""
    end: Ids = []
    if with_end:
        if tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has no end-of-sequence token; a target needs one")
        end = [tokenizer.eos_token_id]
    prefix = prefix_ids(tokenizer)
    heads = _encode(tokenizer, [prompt for prompt, _ in pairs])
    wholes = _encode(tokenizer, [f"{p} {t}" if p else t for p, t in pairs])
    out = []
    for (prompt, target), head, whole in zip(pairs, heads, wholes, strict=True):
        tail = whole[len(head) :]
        if whole[: len(head)] != head:
            tail = _separate_tail(tokenizer, head, whole, prompt, target)
        out.append((prefix + head + tail + end, len(prefix) + len(head)))
    return out


def continuation_ids(
    tokenizer: Any, prompt: str, target: str, with_end: bool = True
) -> tuple[Ids, int]:
    """Ids of `prompt + ' ' + target` and the end token, and how many of them are the prompt's.

    The first part is exactly `prompt_ids(prompt)`, so that a model is trained on what it will be
    asked. An empty prompt is no text: the target follows the begin token without a space."""
    return encode_examples(tokenizer, [(prompt, target)], with_end)[0]


def _separate_tail(tokenizer: Any, head: Ids, whole: Ids, prompt: str, target: str) -> Ids:
    """The target's ids where a token of the whole text straddles its start.

    SentencePiece puts a space before every text it is given, others do not: whichever form, put
    behind the prompt's ids, reads like the whole text is right."""
    wanted = tokenizer.decode(whole)
    for text in (f" {target}", target):
        tail = _encode(tokenizer, [text])[0]
        if tokenizer.decode(head + tail) == wanted:
            return tail
    raise DataError(
        f"the tokenizer has no token boundary between the prompt's end {prompt[-20:]!r} and the "
        f"target {target[:20]!r}; choose another `template`"
    )
