"""A trial's answers segment by segment, beside another's: what differs most, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mtray.schema.base import Frozen

QUALITY = "quality."  # before the name of a direction
Order = Literal["worst", "best", "first"]


class Answer(Frozen):
    """One model's answer to a request.

    - `text`: what was generated; empty for a request whose target was scored instead.
    - `score`: the segment's score in the metric of the listing, higher is better; None: not scored.
    - `labels`: failure labels (`mtray.evaluation.metrics.output_failures`, strict form).
    - `truncated`: it reached the limit of new tokens.
    """

    text: str
    score: float | None = None
    labels: tuple[str, ...] = ()
    truncated: bool = False


class Segment(Frozen):
    """One request with its answers.

    - `part`: the evaluation set: `quality.en-uk`, or an ability's name.
    - `index`: the segment's place among those measured, from 0.
    - `source`: the source of a translation, the prompt of an ability.
    - `reference`: the reference of a translation, the target of an ability, or empty.
    - `other`: the answer of the trial that it is compared with.
    """

    part: str
    index: int
    source: str
    reference: str
    answer: Answer
    other: Answer | None = None

    @property
    def is_translation(self) -> bool:
        """Of a direction whose quality is measured."""
        return self.part.startswith(QUALITY)

    @property
    def gain(self) -> float | None:
        """The score, or its difference from the other answer's; None: not scored."""
        if self.answer.score is None:
            return None
        if self.other is None:
            return self.answer.score
        return None if self.other.score is None else self.answer.score - self.other.score


class Listing(Frozen):
    """Segments of one trial.

    - `trial`, `against`: names of the trials; `against` is empty where there is no other.
    - `metric`: name of the segment scores; empty: nothing is scored.
    - `order`: how the segments were chosen and ordered.
    - `found`: how many segments there were to choose from.
    """

    trial: str
    against: str
    metric: str
    order: Order
    found: int
    segments: tuple[Segment, ...]


def chosen(
    segments: Sequence[Segment], order: Order, count: int, label: str = ""
) -> tuple[int, tuple[Segment, ...]]:
    """How many segments there are, of those whose answer has the failure `label` if one is given,
    and `count` of them: those with the lowest gain, the highest, or the first.

    Among equal gains, and where nothing is scored, segments that differ from the other answer come
    first, then the order of the evaluation set.
    """
    kept = [s for s in segments if not label or label in s.answer.labels]
    if order == "first":
        return len(kept), tuple(kept[:count])
    sign = 1 if order == "worst" else -1
    ranked = sorted(kept, key=lambda s: (s.gain is None, sign * (s.gain or 0.0), _same(s)))
    return len(kept), tuple(ranked[:count])


def _same(segment: Segment) -> bool:
    return segment.other is not None and segment.other.text == segment.answer.text


def listing_lines(found: Listing) -> list[str]:
    """The listing as text: a head, and a block for each segment."""
    lines = [_head(found), ""]
    for segment in found.segments:
        lines += [*_block(found, segment), ""]
    if not found.segments:
        lines.append("no segment fits")
    return lines


def _head(found: Listing) -> str:
    beside = f" beside {_name(found.against)}" if found.against else ""
    return (
        f"{_name(found.trial)}{beside}: {len(found.segments)} of {found.found} segments, "
        f"{_ordered(found)}"
    )


def _ordered(found: Listing) -> str:
    if found.order == "first":
        return "in the order of the evaluation set"
    if not found.metric:
        return "those with different answers first" if found.against else "not scored"
    minus = f" minus that of {_name(found.against)}" if found.against else ""
    return f"{found.order} first by {found.metric}{minus}"


def _name(trial: str) -> str:
    return "the base model" if trial == "base" else f"trial {trial}"


def _block(found: Listing, segment: Segment) -> list[str]:
    head = f"{segment.part} {segment.index}"
    if segment.gain is not None and segment.other is not None:
        head += f"  {segment.gain:+.{_digits(found.metric)}f}"
    asked = ("source", "reference") if segment.is_translation else ("prompt", "target")
    rows = list(zip(asked, (segment.source, segment.reference), strict=True))
    if segment.other is not None:
        rows.append((_short(found.against), _told(found.metric, segment.other)))
    rows.append((_short(found.trial), _told(found.metric, segment.answer)))
    rows = [(name, text) for name, text in rows if text]
    width = max(len(name) for name, _ in rows)
    indented = "\n" + " " * (width + 4)
    return [head, *(f"  {name:<{width}}  {text.replace(chr(10), indented)}" for name, text in rows)]


def _short(trial: str) -> str:
    return trial if trial == "base" else f"trial {trial}"


def _told(metric: str, answer: Answer) -> str:
    """An answer with its score and what is wrong with it."""
    marks = [*answer.labels, *["cut at the limit of new tokens"] * answer.truncated]
    score = [] if answer.score is None else [f"{answer.score:.{_digits(metric)}f}"]
    said = ", ".join([*score, *marks])
    return f"{answer.text}  [{said}]".strip() if said else answer.text


def _digits(metric: str) -> int:
    return 1 if metric.startswith("chrf") else 3
