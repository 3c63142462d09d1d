"""What a study prefers and how the recommended recipe meets it, in sentences."""

from __future__ import annotations

from mtray.analysis.preference import LIKELY
from mtray.report.answer import Answer, Reached
from mtray.report.number_text import chance_text, number_text, whose
from mtray.run_files import BASE_NUMBER
from mtray.schema import preference_text


def preference_lines(answer: Answer) -> list[str]:
    """Lines on the study's preference; none without one."""
    if not answer.prefer:
        return []
    lines = [f"The study prefers {preference_text(answer.prefer, answer.scale)}."]
    if answer.reaches is None:
        return lines
    return [*lines, *_missed(answer), *(_reached_line(found, answer) for found in answer.reached)]


def _missed(answer: Answer) -> list[str]:
    """What was chosen instead, if no trained recipe reaches the limits."""
    if answer.nearest is None:
        return []
    trained = "No trained recipe is expected to reach that"
    if answer.number != BASE_NUMBER:
        return [f"{trained}; the answer is the one that is expected to miss it by least."]
    nearest = f"{whose(answer.nearest)} is expected to miss it by least"
    base = "as the base model does" if likely(answer) else "and the base model is nearer"
    return [f"{trained}, {base}; of the trained recipes {nearest}."]


def _reached_line(found: Reached, answer: Answer) -> str:
    points = next(
        (g.points for each in answer.against for g in each.gains if g.objective == found.objective),
        False,
    )
    expected, base = (number_text(v, "", points) for v in (found.expected, found.base))
    line = f"Its {found.objective} is expected to be {expected}"
    line += f" ({found.limit}: probability {chance_text(found.probability)})"
    if found.base_reaches:
        return f"{line}."
    return f"{line}; the base model itself has {base} and does not reach that."


def weights_text(answer: Answer) -> str:
    """How the worth of a recipe is weighted, in parentheses; empty if all weights are equal."""
    if len(set(answer.weights.values())) < 2:
        return ""
    weights = ", ".join(f"{name} {weight:.3g}" for name, weight in answer.weights.items())
    return f" and times its weight ({weights})"


def likely(answer: Answer) -> bool:
    """Whether the recommended recipe counts as reaching the limits; True without any."""
    return answer.reaches is None or answer.reaches >= LIKELY
