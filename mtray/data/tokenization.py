"""Text to token ids, shared by training and evaluation, so that a model is prompted as it was
trained.

`tokenizer` is any tokenizer of transformers. Special tokens are added here and nowhere else: before
a text, those that the tokenizer adds itself or, where it adds none, its begin-of-sequence token if
it has one; after a target, the end token. A chat prompt (`mtray.data.chat`) has its special tokens
in its text, and its answer ends as the template ends a turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtray.data.chat import ChatForm, chat_form
from mtray.errors import DataError, ModelError

Ids = list[int]
SEAM = 8  # tokens by which prompt plus target may differ from their whole text
AT_ONCE = 2048  # texts per backend call, whose encodings take a hundred bytes a token and more
MANY, COMPARED = 128, 16  # texts from which the fast backend is used, and texts checked first


def prefix_ids(tokenizer: Any) -> Ids:
    """The special tokens at the beginning of a text: each exactly once, whether or not the
    tokenizer adds them itself."""
    own = own_prefix_ids(tokenizer)
    if own or tokenizer.bos_token_id is None:
        return own
    return [tokenizer.bos_token_id]


def own_prefix_ids(tokenizer: Any) -> Ids:
    """The special tokens that the tokenizer itself puts before a text."""
    probe = tokenizer("a", return_special_tokens_mask=True)
    mask = probe["special_tokens_mask"]
    return list(probe["input_ids"][: mask.index(0) if 0 in mask else 0])


def texts_tokenised() -> int:
    """Number of texts tokenised by this process so far."""
    return _tokenised


_tokenised = 0


def _encode(tokenizer: Any, texts: Sequence[str]) -> list[Ids]:
    global _tokenised
    _tokenised += len(texts)
    different = list(dict.fromkeys(texts))  # all monolingual texts share one prompt
    known = dict(zip(different, _ids_of(tokenizer, different), strict=True))
    return [known[text] for text in texts]


def _ids_of(tokenizer: Any, texts: list[str]) -> list[Ids]:
    def own(some: list[str]) -> list[Ids]:
        # one call for all, since fast tokenizers work in parallel; `verbose` would warn of texts
        # longer than the model's context
        return list(tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"])

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or len(texts) < MANY:
        return own(texts) if texts else []
    # the backend alone takes half the time. A tokenizer class may process a text further, so the
    # first results are compared with its own; that call also turns the backend's padding off
    first = own(texts[:COMPARED])
    found: list[Ids] = []
    for start in range(0, len(texts), AT_ONCE):
        encodings = backend.encode_batch_fast(
            texts[start : start + AT_ONCE], add_special_tokens=False
        )
        found += [e.ids for e in encodings]
        if start == 0 and found[:COMPARED] != first:
            return own(texts)
    return found


def prompt_ids_batch(tokenizer: Any, texts: Sequence[str]) -> list[Ids]:
    """`prompt_ids` of many texts."""
    prefix, chat = prefix_ids(tokenizer), chat_form(tokenizer)
    return [
        ids if _is_chat(chat, text) else prefix + ids
        for text, ids in zip(texts, _encode(tokenizer, texts), strict=True)
    ]


def _is_chat(chat: ChatForm | None, prompt: str) -> bool:
    return chat is not None and chat.is_prompt(prompt)


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
    prefix, chat = prefix_ids(tokenizer), chat_form(tokenizer)
    turns = [chat if _is_chat(chat, prompt) else None for prompt, _ in pairs]
    rests = [_rest(*pair, turn, with_end) for pair, turn in zip(pairs, turns, strict=True)]
    heads = _encode(tokenizer, [prompt for prompt, _ in pairs])
    wholes = _encode(tokenizer, [p + rest for (p, _), rest in zip(pairs, rests, strict=True)])
    out = []
    for pair, turn, rest, head, whole in zip(pairs, turns, rests, heads, wholes, strict=True):
        tail = whole[len(head) :]
        if whole[: len(head)] != head:
            tail = _separate_tail(tokenizer, head, whole, pair, rest)
        before = [] if turn else prefix
        after = [] if turn and turn.tail else end
        out.append((before + head + tail + after, len(before) + len(head)))
    return out


def fitting(tokenizer: Any, pairs: Sequence[tuple[str, str]], limit: int) -> list[bool]:
    """Whether `encode_examples` gives at most `limit` tokens for each (prompt, target). Counts the
    tokens of the whole texts; only those near the limit are encoded, since prompt and target by
    themselves may need a few tokens more."""
    prefix, chat = prefix_ids(tokenizer), chat_form(tokenizer)
    turns = [chat if _is_chat(chat, prompt) else None for prompt, _ in pairs]
    texts = [p + _rest(p, t, turn, True) for (p, t), turn in zip(pairs, turns, strict=True)]
    counts = [
        len(ids) + (0 if turn else len(prefix)) + (0 if turn and turn.tail else 1)
        for ids, turn in zip(_encode(tokenizer, texts), turns, strict=True)
    ]
    near = [i for i, count in enumerate(counts) if abs(count - limit) <= SEAM]
    encoded = encode_examples(tokenizer, [pairs[i] for i in near])
    for place, (ids, _) in zip(near, encoded, strict=True):
        counts[place] = len(ids)
    return [count <= limit for count in counts]


def written_parts(tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """What the ids of `encode_examples` stand for, with the special tokens as text: the part
    without a loss, and the part that the loss is on. Tokenised as one text, without further special
    tokens, they give the ids wherever a token boundary falls between prompt and target."""
    chat, end = chat_form(tokenizer), tokenizer.eos_token
    prefix = "".join(tokenizer.convert_ids_to_tokens(prefix_ids(tokenizer)))
    found = []
    for prompt, target in pairs:
        turn = chat if _is_chat(chat, prompt) else None
        before, after = ("" if turn else prefix), ("" if turn and turn.tail else end)
        found.append((before + prompt, _rest(prompt, target, turn, True) + after))
    return found


def _rest(prompt: str, target: str, turn: ChatForm | None, with_end: bool) -> str:
    """The text after a prompt."""
    if turn is not None:
        return turn.completion(target, with_end)
    return f" {target}" if prompt else target


def continuation_ids(
    tokenizer: Any, prompt: str, target: str, with_end: bool = True
) -> tuple[Ids, int]:
    """Ids of `prompt + ' ' + target` and the end token, and how many of them belong to the prompt.

    The first part is exactly `prompt_ids(prompt)`, so that a model is trained on the prompts it
    will be given. For an empty prompt, the target follows the begin token without a space. A chat
    prompt is followed by the target and the end of the turn.
    """
    return encode_examples(tokenizer, [(prompt, target)], with_end)[0]


def _separate_tail(tokenizer: Any, head: Ids, whole: Ids, pair: tuple[str, str], rest: str) -> Ids:
    """The target's ids where a token of the whole text straddles its start.

    SentencePiece puts a space before every text, other tokenizers do not. The right form is the one
    that, appended to the prompt's ids, decodes to the whole text.
    """
    wanted = tokenizer.decode(whole)
    for text in (rest, rest.removeprefix(" ")):
        tail = _encode(tokenizer, [text])[0]
        if tokenizer.decode(head + tail) == wanted:
            return tail
    prompt, target = pair
    raise DataError(
        f"the tokenizer has no token boundary between the prompt's end {prompt[-20:]!r} and the "
        f"target {target[:20]!r}; choose another `template`"
    )
