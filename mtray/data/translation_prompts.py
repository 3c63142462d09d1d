"""Prompts for translation, shared by training and evaluation, so that a model is prompted as it was
trained.

`template` is a name of `rendering.TEMPLATES`, or

    pool        one of `INSTRUCTIONS`, drawn by content, before the labelled text
    chat        a fixed request as the user's turn of the tokenizer's chat template
    chat_pool   the same with a request of `INSTRUCTIONS`

A template is of one line or not (`is_one_line`). A template of one line ends an answer at a line
break, so its texts are put on one line, unless the study says `paragraphs: keep`; the others end an
answer with the end of the turn, and their texts keep their line breaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtray.data.chat import chat_form, chat_prompt
from mtray.data.content_draws import choice_by_content
from mtray.data.instructions import INSTRUCTIONS
from mtray.data.language_names import language_name
from mtray.data.readers.paragraphs import lines_kept, one_line
from mtray.data.templates import TEMPLATES, translation_prompt, with_examples
from mtray.errors import ConfigError
from mtray.schema import Paragraphs

Pair = tuple[str, str]
POOL, CHAT, CHAT_POOL = "pool", "chat", "chat_pool"
CHATS, POOLED = (CHAT, CHAT_POOL), (POOL, CHAT_POOL)
REQUEST = "Translate the following text from {source_name} into {target_name}."


def check_template(template: str, tokenizer: Any) -> None:
    """ConfigError for a template that is unknown or that the tokenizer cannot fill."""
    known = (*TEMPLATES, POOL, *CHATS)
    if template not in known:
        raise ConfigError(f"template {template!r} is unknown; known: {', '.join(sorted(known))}")
    if template in CHATS and chat_form(tokenizer) is None:
        chat_prompt(tokenizer, "")  # its error says what is missing


def is_one_line(template: str) -> bool:
    """Whether the next example, or whatever a pretrained model writes after an answer, begins on a
    new line. So do all templates but those of a chat, whose turns have marks of their own."""
    return template not in CHATS


def keeps_breaks(template: str, paragraphs: Paragraphs) -> bool:
    """Whether the texts of a study's translations keep their line breaks."""
    return not is_one_line(template) if paragraphs == "auto" else paragraphs == "keep"


def nested_choice(count: int, *parts: object) -> int:
    """One of the first `count` instructions, all equally likely: the same as with more of them,
    unless that is beyond the first `count`."""
    place = choice_by_content(len(INSTRUCTIONS), *parts)
    while place >= count:  # with one instruction fewer, only its texts get another one
        place = choice_by_content(place, *parts, place)
    return place


@dataclass(frozen=True)
class PromptBuilder:
    """Raises ConfigError like `check_template`.

    - `key`: what draws depend on besides the text. Evaluation leaves it empty, so that a segment
      has the same prompt in every study.
    - `paragraphs`: that of the study.
    - `instructions`: how many of `INSTRUCTIONS` are used, the first ones.
    """

    template: str
    tokenizer: Any = None
    key: str = ""
    paragraphs: Paragraphs = "auto"
    instructions: int = len(INSTRUCTIONS)

    def __post_init__(self) -> None:
        check_template(self.template, self.tokenizer)

    @property
    def keeps_breaks(self) -> bool:
        return keeps_breaks(self.template, self.paragraphs)

    def asked(self, text: str) -> str:
        """A text as evaluation puts it into a prompt."""
        return lines_kept(text) if self.keeps_breaks else one_line(text)

    def translation(
        self,
        text: str,
        source: str,
        target: str,
        register: str | None = None,
        shots: Sequence[Pair] = (),
    ) -> str:
        """The prompt for the translation of `text` from language `source` to `target`, after
        `shots` (text, translation), all with the same request."""
        if self.template in TEMPLATES:
            asked = [
                translation_prompt(t, source, target, self.template, register)
                for t in (text, *(shown for shown, _ in shots))
            ]
            answers = [answer for _, answer in shots]
            return with_examples(list(zip(asked[1:], answers, strict=True)), asked[0])
        names = {
            "source_name": language_name(source),
            "target_name": language_name(target) + (f" ({register})" if register else ""),
        }
        request = self._request(text, source, target).format(**names)
        if self.template in CHATS:
            turns = [(f"{request}\n\n{shown}", answer) for shown, answer in shots]
            return chat_prompt(self.tokenizer, f"{request}\n\n{text}", turns)
        label, cue = f"{names['source_name']}: ", f"\n{names['target_name']}:"
        answered = [(f"{label}{shown}{cue}", answer) for shown, answer in shots]
        return f"{request}\n{with_examples(answered, f'{label}{text}{cue}')}"

    def _request(self, text: str, source: str, target: str) -> str:
        if self.template == CHAT:
            return REQUEST
        return INSTRUCTIONS[
            nested_choice(self.instructions, "request", self.key, source, target, text)
        ]

    def anything(self, prompt: str) -> str:
        """A prompt that is not for translation, as a user's turn where the study uses a chat
        template."""
        return chat_prompt(self.tokenizer, prompt) if self.template in CHATS else prompt
