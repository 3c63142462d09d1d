"""Whether translations contain the word that an item of ctxpro expects, as its authors' scorer
decides it, and the values computed from these decisions.

Matching (official): the last sentence of an output, lower-cased and without ASCII punctuation, must
contain the lower-cased expected form between spaces. Additions of mtray:

    ceiling   the references through the same splitter and matching; French ones fail if a
              deleted apostrophe joins two words, others if the form is in an earlier sentence
    guard     a right output counts only if the length in characters of its last sentence is
              within [.5, 2] of the reference's: "it" alone is right for all animacy items
    value     guarded right outputs / right references
"""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mtray.analysis.uncertainty import Array, Measurement, share_measurement
from mtray.data.benchmarks.ctxpro import Item
from mtray.errors import ConfigError, DataError, EvaluationError
from mtray.evaluation.metrics.quality import document_clusters

LEAST_LENGTH, MOST_LENGTH = 0.5, 2.0
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@functools.cache
def _splitter(language: str) -> Any:
    import sentence_splitter

    try:
        return sentence_splitter.SentenceSplitter(language=language)
    except sentence_splitter.SentenceSplitterException:
        folder = Path(sentence_splitter.__file__).parent / "non_breaking_prefixes"
        known = ", ".join(sorted(path.stem for path in folder.glob("*.txt")))
        raise ConfigError(
            f"sentence-splitter has no rules for the target language {language!r}; it has {known}"
        ) from None


def last_sentence(text: str, language: str) -> str:
    """The scored part of an output or a reference. Raises ConfigError for a language without
    rules."""
    sentences = _splitter(language).split(text=text.strip())
    return str(sentences[-1]) if sentences else text.strip()


def holds(text: str, expected: str) -> bool:
    """The official test. A form that itself contains punctuation never matches."""
    return f" {expected.lower()} " in f" {text.lower().translate(_PUNCTUATION)} "


def fits(text: str, reference: str) -> bool:
    """The guard: the length in characters is within [.5, 2] of the reference's."""
    return LEAST_LENGTH * len(reference) <= len(text) <= MOST_LENGTH * len(reference)


def best_constant(items: Sequence[Item], references: Sequence[str]) -> int:
    """How many items the best constant answer gets right under the guard: one that contains one of
    the expected forms and is padded to the best length."""
    lengths = np.array([len(reference) for reference in references])
    shortest, longest = np.ceil(LEAST_LENGTH * lengths), np.floor(MOST_LENGTH * lengths)
    forms = [item.expected.lower() for item in items]
    best = 0
    for answer in set(forms):
        words = f" {answer.translate(_PUNCTUATION)} "
        right = np.array([f" {form} " in words for form in forms])
        low, high = np.sort(shortest[right]), np.sort(longest[right])
        tried = np.maximum(low, len(answer))
        # items whose minimum length is reached minus those whose maximum is exceeded
        counts = np.searchsorted(low, tried, "right") - np.searchsorted(high, tried, "left")
        best = max(best, int(counts.max(initial=0)))
    return best


def share_of_ceiling(sums: Array) -> Array:
    """From (right outputs, right references), shape (..., 2); 0 if a resample has no right
    reference."""
    right, ceiling = sums[..., 0], sums[..., 1]
    return np.asarray(np.divide(right, ceiling, out=np.zeros_like(right), where=ceiling > 0))


@dataclass(frozen=True)
class ContextMatches:
    """Which outputs are right, which satisfy the guard, and which references are right: booleans of
    shape (items,)."""

    items: Sequence[Item]
    right: Any
    fitting: Any
    ceiling: Any
    signature: str

    def _share(self, right: Any, name: str, keep: Any = None) -> Measurement:
        """Right outputs per right reference among the items to `keep`."""
        places = np.arange(len(self.items)) if keep is None else np.flatnonzero(keep)
        stats = np.stack([right[places], self.ceiling[places]], axis=1).astype(np.float64)
        documents = document_clusters([self.items[int(i)].document for i in places])
        signature = f"{name}|{self.signature}"
        return Measurement(stats, share_of_ceiling, signature, documents, bounds=(0.0, math.inf))

    def value(self) -> Measurement:
        return self._share(self.right & self.fitting, "ctxpro/ceiling|guard:characters.5-2")

    def extras(self) -> dict[str, Measurement]:
        """`accuracy` is the official one (0 to 1); `guarded_accuracy` has the guard, `of_ceiling`
        is relative to the references. `rule.<rule>`, `antecedent_before` and `antecedent_within`
        (the sentence) are the value on a subset of the items."""
        documents = document_clusters([item.document for item in self.items])
        guarded, name = self.right & self.fitting, "ctxpro/ceiling|guard:characters.5-2"
        found = {
            "accuracy": share_measurement(self.right, f"ctxpro|{self.signature}", documents),
            "guarded_accuracy": share_measurement(
                guarded, f"ctxpro|guard:characters.5-2|{self.signature}", documents
            ),
            "of_ceiling": self._share(self.right, "ctxpro/ceiling"),
        }
        for part, keep in self._parts().items():
            if self.ceiling[keep].any():
                found[part] = self._share(guarded, f"{name}|{part}", keep)
        return found

    def _parts(self) -> dict[str, Any]:
        rules = np.array([item.rule for item in self.items])
        within = [item.within for item in self.items]
        parts = {f"rule.{rule}": rules == rule for rule in sorted(set(rules))}
        parts["antecedent_before"] = np.array([w is False for w in within])
        parts["antecedent_within"] = np.array([w is True for w in within])
        return {name: keep for name, keep in parts.items() if keep.any()}

    def counts(self) -> dict[str, float]:
        """Items, right outputs and right references, in all and for every subset."""
        whole = np.ones(len(self.items), dtype=bool)
        found = {
            "documents": len({item.document for item in self.items}),
            "expected_forms": len({item.expected.lower() for item in self.items}),
            "length_not_as_the_reference": int((~self.fitting).sum()),
            "right_but_length_not_as_the_reference": int((self.right & ~self.fitting).sum()),
        }
        for part, keep in {"": whole, **self._parts()}.items():
            prefix = f"{part}." if part else ""
            found |= {
                f"{prefix}items": int(keep.sum()),
                f"{prefix}right": int(self.right[keep].sum()),
                f"{prefix}references_right": int(self.ceiling[keep].sum()),
            }
        return {name: float(count) for name, count in found.items()}

    def notes(self) -> list[str]:
        """Caveats of the figures."""
        forms = {item.expected.lower() for item in self.items}
        if len(forms) > 1:
            return []
        return [
            f"every item expects {forms.pop()!r}: who always says that word has the whole accuracy "
            "without the guard, so only guarded values mean anything here"
        ]


def scored_texts(texts: Sequence[str], language: str, split: bool = True) -> list[str]:
    """The scored part of each text: its last sentence, or the whole text."""
    pick: Callable[[str], str] = (lambda t: last_sentence(t, language)) if split else str.strip
    return [pick(text) for text in texts]


def judge(
    items: Sequence[Item], outputs: Sequence[str], language: str, split: bool = True
) -> ContextMatches:
    """Outputs in the order of the items. Raises EvaluationError if their numbers differ, DataError
    if no reference is right."""
    if len(items) != len(outputs):
        raise EvaluationError(f"ctxpro: {len(items):,} items but {len(outputs):,} outputs")
    found = scored_texts(outputs, language, split)
    references = scored_texts([item.reference for item in items], language, split)
    pairs = list(zip(items, found, references, strict=True))
    ceiling = np.array([holds(reference, item.expected) for item, _, reference in pairs])
    if not ceiling.any():
        raise DataError("ctxpro: no reference contains its expected form; nothing can be measured")
    forms = {item.expected.lower() for item in items}
    degenerate = f"|all-expect:{forms.pop()}" if len(forms) == 1 else ""
    scored = f"last:sentence_splitter-{version('sentence-splitter')}" if split else "last:whole"
    return ContextMatches(
        items,
        np.array([holds(text, item.expected) for item, text, _ in pairs]),
        np.array([fits(text, reference) for _, text, reference in pairs]),
        ceiling,
        f"lang:{language}|{scored}{degenerate}",
    )
