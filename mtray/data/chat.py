"""Chat templates of tokenizers: the text of a conversation up to the assistant's answer, and what
follows an answer.

A prompt that ends in the text that the template puts between the user's message and the assistant's
answer is a chat prompt; no other mark is needed. The template itself decides about the begin token.
Models that think before an answer are asked not to: what is trained and measured is the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mtray.errors import ConfigError

USER, ASSISTANT = "mtray-user", "mtray-assistant"
# names by which templates (Qwen3, GLM 4.5, SmolLM3; DeepSeek V3.1, Granite 3.2) take whether to
# think, as variables, not as a key of a message or within a text
SWITCHES = re.compile(r"""(?<![\w.'"])(enable_thinking|thinking)(?![\w'"])""")
# how a thought begins and ends: DeepSeek R1, QwQ and many others; Seed-OSS; Magistral
THOUGHTS = (("<think>", "</think>"), ("<seed:think>", "</seed:think>"), ("[THINK]", "[/THINK]"))


@dataclass(frozen=True)
class ChatForm:
    """What a template writes around a user's turn and its answer: `head` user `turn` answer `tail`.

    - `lead`: spaces before an answer that are not part of the generation prompt.
    - `tail`: without trailing white space, from which nothing is learned.
    - `thought`: how the model is kept from thinking, where the template would have it think.
    """

    head: str
    turn: str
    lead: str
    tail: str
    thought: str = ""

    def is_prompt(self, text: str) -> bool:
        return text.endswith(self.turn)

    def completion(self, target: str, with_end: bool) -> str:
        """The text after a prompt."""
        return f"{self.lead}{target}{self.tail if with_end else ''}"


def chat_form(tokenizer: Any) -> ChatForm | None:
    """The form of the tokenizer's chat template; None where it has none. Raises ConfigError for a
    template that cannot be used."""
    template = getattr(tokenizer, "chat_template", None)
    return _form(tokenizer, str(template)) if template else None


@lru_cache(maxsize=8)
def _form(tokenizer: Any, template: str) -> ChatForm:
    asked = _rendered(tokenizer, [("user", USER)], True)
    whole = _rendered(tokenizer, [("user", USER), ("assistant", ASSISTANT)], False)
    head, _, turn = asked.partition(USER)
    before, _, tail = whole.rpartition(ASSISTANT)
    if not turn.strip() or not before:
        raise ConfigError(
            "the tokenizer's chat template cannot be used: it must write the user's text, "
            f"something that ends the turn, and the assistant's; it wrote {asked[:200]!r}"
        )
    # a longer difference, such as an empty thought, is not what a generated answer begins with
    lead = before.removeprefix(asked) if before.startswith(asked) else ""
    lead = lead if not lead.strip(" ") else ""
    return ChatForm(head, turn, lead, tail.rstrip(), _thought(tokenizer, asked))


def _thought(tokenizer: Any, asked: str) -> str:
    thinking = _rendered(tokenizer, [("user", USER)], True, thinks=True)
    if thinking == asked:
        return ""
    names = sorted(set(SWITCHES.findall(str(tokenizer.chat_template))))
    if names and _rendered(tokenizer, [("user", USER)], True, closes=False) != thinking:
        return f"they are off ({', '.join(f'{name}: false' for name in names)})"
    return "its prompt opens one, which is closed at once, empty"


def _rendered(
    tokenizer: Any,
    turns: Sequence[tuple[str, str]],
    generation: bool,
    thinks: bool = False,
    closes: bool = True,
) -> str:
    """`thinks`: as the template is by itself. `closes`: a thought that a prompt opens is closed."""
    messages = [{"role": role, "content": content} for role, content in turns]
    switches = dict.fromkeys(SWITCHES.findall(str(tokenizer.chat_template)), False)
    try:
        text = str(
            tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=generation,
                **({} if thinks else switches),
            )
        )
    # a template is a third-party program and may fail in any way
    except Exception as error:
        raise ConfigError(
            f"the tokenizer's chat template cannot be used: {type(error).__name__}: {error}"
        ) from None
    return _closed(text) if generation and closes and not thinks else text


def _closed(text: str) -> str:
    """A prompt with the thought closed that it opens at its end, as models write an empty one."""
    shown = text.rstrip()
    end = next((end for begin, end in THOUGHTS if shown.endswith(begin)), None)
    return f"{shown}\n\n{end}\n\n" if end else text


def chat_prompt(tokenizer: Any, user: str, shots: Sequence[tuple[str, str]] = ()) -> str:
    """The conversation up to the answer to `user`; `shots` are earlier turns (user, assistant).
    Raises ConfigError when the tokenizer has no chat template, or one that does not end in the same
    way."""
    form = chat_form(tokenizer)
    if form is None:
        raise ConfigError(
            "`template: chat` needs a tokenizer with a chat template, and the model's has none; "
            "use an instruction-tuned model, or another `template` (such as pool)"
        )
    turns = [turn for u, a in shots for turn in (("user", u), ("assistant", a))]
    text = _rendered(tokenizer, [*turns, ("user", user)], True)
    if not form.is_prompt(text):
        raise ConfigError(
            f"the tokenizer's chat template ends a conversation in {text[-40:]!r}, and a single "
            f"turn in {form.turn!r}; so prompt and answer cannot be separated"
        )
    return text


def end_of_turn_ids(tokenizer: Any) -> list[int]:
    """The tokens that end a turn in the chat template, the user's and the assistant's, if they are
    separate tokens."""
    form = chat_form(tokenizer)
    if form is None:
        return []
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    ends = (
        tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        for text in (form.turn, form.tail)
    )
    return sorted({next(i for i in ids if i in special) for ids in ends if special & set(ids)})
