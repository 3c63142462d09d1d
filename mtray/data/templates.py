"""From sentences to the text that a model sees. Templates are named; a study names one, and the
name is part of its record.

Slots: `source`, `source_name`, `target_name` (English display names; a register is added in
parentheses, such as `Ukrainian (formal)`). A prompt never ends in a space; the target follows after
one space.
"""

from __future__ import annotations

from collections.abc import Sequence

from mtray.data.language_names import language_name
from mtray.errors import ConfigError

# `labels` is the shortest; `alma` is ALMA's (Xu et al. 2023); `mfti...` are the six of mFTI (Li et
# al. 2023): three, each with and without the source language
TEMPLATES = {
    "labels": "{source_name}: {source}\n{target_name}:",
    "alma": "Translate this from {source_name} to {target_name}:\n"
    "{source_name}: {source}\n{target_name}:",
    "mfti": "Translation: [{source_name}]: {source} [{target_name}]:",
    "mfti_target": "Translation: {source} [{target_name}]:",
    "mfti_behind": "{source} Translate from [{source_name}] to [{target_name}]:",
    "mfti_behind_target": "{source} Translate to [{target_name}]:",
    "mfti_sentence": "The {target_name} translation of {source_name} sentence '{source}' is:",
    "mfti_sentence_target": "The {target_name} translation of sentence '{source}' is:",
}
ARROW = "{source} ->"


def translation_prompt(
    source: str,
    source_language: str,
    target_language: str,
    template: str = "labels",
    register: str | None = None,
) -> str:
    """Zero-shot request for one translation, in `register` (`formal` or `informal`) if given."""
    if template not in TEMPLATES:
        raise ConfigError(
            f"template {template!r} is unknown; known: {', '.join(sorted(TEMPLATES))}"
        )
    target_name = language_name(target_language) + (f" ({register})" if register else "")
    return TEMPLATES[template].format(
        source=source, source_name=language_name(source_language), target_name=target_name
    )


def few_shot_prompt(shots: Sequence[tuple[str, str]], source: str) -> str:
    """Shots without an instruction (`source -> target`, one a line), then the query."""
    lines = [f"{ARROW.format(source=s)} {t}" for s, t in shots]
    return "\n".join([*lines, ARROW.format(source=source)])


def with_examples(examples: Sequence[tuple[str, str]], prompt: str) -> str:
    """Prompts with their answers, each ending in a newline, then the prompt to answer."""
    return "\n".join([*(completed(p, target) for p, target in examples), prompt])


def completed(prompt: str, target: str) -> str:
    """The whole training text of a prompt and its answer, without the end-of-sequence token."""
    return f"{prompt} {target}"
