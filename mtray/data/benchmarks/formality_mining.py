"""Mine register-contrastive references: two Ukrainian translations of one English sentence, one
informal (ти), one formal (ви).

The result has the format of CoCoA-MT (Nadejde et al. 2022): the two references differ and every
register-bearing word is annotated, here as `[F]...[/F]` around single words. The rules are ours and
use only closed-class pronouns and verb endings; sentences whose two translations differ in anything
that is not aligned word by word are dropped.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

WORD = re.compile(r"[\w'’ʼ-]+|[^\w\s]")
INFORMAL = re.compile(
    r"^(ти|тебе|тобі|тобою|тво(?:й|я|є|ї|го|єї|єму|ю|їм|їх|їми|єю|їй))$", re.IGNORECASE
)
FORMAL = re.compile(
    r"^(ви|вас|вам|вами|ваш(?:а|е|і|ого|ої|ому|у|им|их|ими|ою|ій)?)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Contrast:
    """One English sentence with its two references; `*_annotated` carry `[F]...[/F]` around each
    register-bearing word."""

    source: str
    formal: str
    informal: str
    formal_annotated: str
    informal_annotated: str


def register_of(text: str) -> str | None:
    """`formal`, `informal`, or None when `text` has no second-person pronoun or both kinds."""
    words = WORD.findall(text)
    informal = any(INFORMAL.match(w) for w in words)
    formal = any(FORMAL.match(w) for w in words)
    if informal == formal:
        return None
    return "formal" if formal else "informal"


def _is_verb_pair(informal: str, formal: str) -> bool:
    """Whether two forms are second person singular and plural of one Ukrainian verb: present
    (-ш/-те) or imperative (-/-те, -и/-іть)."""
    if informal.endswith("ся") and formal.endswith("ся"):
        return _is_verb_pair(informal[:-2], formal[:-2])
    stem = 0
    while stem < min(len(informal), len(formal)) and informal[stem] == formal[stem]:
        stem += 1
    if stem == 0:
        return False
    if informal.endswith("ш") and formal.endswith("те"):
        return True
    if formal in (informal + "те", informal + "іть", informal[:-1] + "іть"):
        return True
    return formal.endswith("йте") and informal.endswith("й")


def _marks_register(informal: str, formal: str) -> bool:
    if INFORMAL.match(informal) and FORMAL.match(formal):
        return True
    return _is_verb_pair(informal.lower(), formal.lower())


def _annotate(text: str, marked: set[int]) -> str:
    out, last = [], 0
    for index, match in enumerate(WORD.finditer(text)):
        if index in marked:
            out += [text[last : match.start()], "[F]", match.group(), "[/F]"]
            last = match.end()
    return "".join([*out, text[last:]])


def contrast(source: str, informal: str, formal: str) -> Contrast | None:
    """The annotated pair, or None when the two references do not differ word by word in
    register."""
    a, b = WORD.findall(informal), WORD.findall(formal)
    if any(FORMAL.match(w) for w in a) or any(INFORMAL.match(w) for w in b) or len(a) != len(b):
        return None
    differing = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
    if len(a) > 4 and len(differing) > 0.7 * len(a):
        return None
    marked = {i for i in differing if _marks_register(a[i], b[i])}
    others = [i for i in differing if i not in marked]
    # other differences must be forms of the same word (готова / готові, міг / могли) or one-letter
    # prepositions
    if not marked or any(not _same_word(a[i], b[i]) for i in others):
        return None
    return Contrast(
        source, formal, informal, _annotate(formal, marked), _annotate(informal, marked)
    )


def _same_word(x: str, y: str) -> bool:
    if len(x) <= 2 and len(y) <= 2:
        return True
    return difflib.SequenceMatcher(a=x.lower(), b=y.lower()).ratio() >= 0.5


def mine(groups: Iterable[tuple[str, list[str]]]) -> Iterator[Contrast]:
    """For each (English sentence, its Ukrainian translations), the most similar contrasting pair of
    translations, if there is one."""
    for source, translations in groups:
        best: tuple[int, Contrast] | None = None
        for informal in translations:
            for formal in translations:
                found = contrast(source, informal, formal) if informal != formal else None
                if found is None:
                    continue
                distance = sum(
                    x != y
                    for x, y in zip(WORD.findall(informal), WORD.findall(formal), strict=True)
                )
                if best is None or distance < best[0]:
                    best = (distance, found)
        if best is not None:
            yield best[1]
