"""The answer of a sweep and predictions as text and tables, for a terminal and a pipe."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from math import ceil

from mtray.report.answer import Answer, BestObserved, Settling
from mtray.report.compare import ROLE_NAMES
from mtray.report.number_text import chance_text, interval_text, number_text, whose
from mtray.report.parameters import recipe_text
from mtray.report.posterior import AgainstBaseline, Expected
from mtray.report.prediction import Prediction
from mtray.report.preference_text import likely, preference_lines, weights_text
from mtray.report.printing import Sheet
from mtray.report.units import POINTS
from mtray.run_files import BASE_NUMBER


def gain_text(gain: Expected) -> str:
    """For example `+0.025 [+0.011, +0.040]`."""
    number = number_text(gain.gain, points=gain.points)
    return f"{number} {interval_text(gain.low, gain.high, points=gain.points)}"


def gains_text(gains: Sequence[Expected]) -> str:
    return ", ".join(f"{gain.objective} {gain_text(gain)}" for gain in gains)


def expected_sheet(against: Sequence[AgainstBaseline]) -> Sheet:
    """A row for each baseline and objective."""
    rows = [
        [ROLE_NAMES[each.role] if not place else "", *_expected_cells(gain)]
        for each in against
        for place, gain in enumerate(each.gains)
    ]
    return Sheet(
        ["answer against", "objective", "expected gain", "P(better)"],
        rows,
        left=frozenset(("answer against", "objective")),
    )


def _expected_cells(gain: Expected) -> list[str]:
    return [gain.objective, gain_text(gain), chance_text(gain.better)]


def answer_head(answer: Answer) -> list[str]:
    """The recommendation, in one or two sentences."""
    if answer.number == BASE_NUMBER:
        why = (
            "With what the study prefers, no trained recipe is expected to be better."
            if answer.prefer
            else "Over all objectives, no trained recipe is expected to gain as much as it loses."
        )
        return [f"Answer: keep the base model as it is. {why}"]
    seeds = "one seed" if answer.seeds == 1 else f"{answer.seeds} seeds"
    return [
        f"Answer: the recipe of trial {answer.number} (trained with {seeds}): "
        f"{recipe_text(answer.recipe)}."
    ]


def with_texts(answer: Answer, run: str) -> Answer:
    """The answer with its text and the next commands."""
    text = (*answer_head(answer), *answer_lines(answer))
    return answer.model_copy(update={"text": text, "commands": next_commands(answer, run)})


def answer_lines(answer: Answer) -> list[str]:
    """Lines on how certain the answer is, what would settle it, and which untrained recipe may be
    better."""
    lines = [*preference_lines(answer), _worth_line(answer), _sure_line(answer)]
    if answer.looked_best is not None:
        lines.append(_looked_best_line(answer.looked_best, _better_word(answer)))
    if answer.settling is not None:
        lines.append(_settling_line(answer.settling, answer.level))
    if answer.untried is not None:
        gains = gains_text(answer.untried.gains)
        lines.append(
            f"Not trained yet, but predicted to be {_better_word(answer)} (probability "
            f"{chance_text(answer.untried.better)}): {recipe_text(answer.untried.recipe)}; "
            f"compared with the answer (positive is better): {gains}."
        )
    return lines


def _better_word(answer: Answer) -> str:
    return "worth more" if answer.reaches is None else "preferred"


def _worth_line(answer: Answer) -> str:
    points = {gain.objective: gain.points for each in answer.against for gain in each.gains}
    reach = ", ".join(
        f"{name} {number_text(scale, '', points.get(name, scale >= POINTS))}"
        for name, scale in answer.scale.items()
        if scale
    )
    source = (
        "Expected values come from a model of all recipes, so that measurement errors do not decide"
        if answer.modelled
        else "Expected values are the recipes' own means: there are too few recipes for a model"
    )
    highest = "Its expected worth is the highest"
    if answer.reaches is not None:
        highest += " of those that probably reach the limits" * likely(answer)
        highest = highest if likely(answer) else "The limits decided, and not worth"
    return (
        f"{highest}; the worth of a recipe is the sum of its objectives, each divided by the range "
        f"over base model, baselines and front ({reach or 'no objective differs yet'})"
        f"{weights_text(answer)}. {source}."
    )


def _sure_line(answer: Answer) -> str:
    limits = "" if answer.reaches is None else ", or nearer to the limits by that"
    sure = (
        f"Probability that no other trained recipe is worth over {answer.margin:g} more{limits}: "
        + _sure_text(answer)
    )
    if answer.settled:
        return f"{sure}; settled (at least {answer.level:g} is required)."
    rivals = ", ".join(f"{whose(r.number)} ({chance_text(r.chance)})" for r in answer.rivals)
    return f"{sure}; not settled (at least {answer.level:g} is required)." + (
        f" Others that may be best (probability): {rivals}." if rivals else ""
    )


def _sure_text(answer: Answer) -> str:
    """The probability, with a third decimal if two would look settled."""
    if not answer.settled and answer.probability >= answer.level - 0.005:
        return f"{min(answer.probability, answer.level - 0.001):.3f}".lstrip("0")
    return chance_text(answer.probability)


def _looked_best_line(found: BestObserved, better: str) -> str:
    points = {gain.objective: gain.points for gain in found.expected}
    measured = ", ".join(
        f"{name} {number_text(gap, points=points[name])}" for name, gap in found.observed.items()
    )
    return (
        f"By its measured values, {whose(found.number)} is {better} (compared with the answer: "
        f"{measured}); part of that is probably measurement error, and the model of all recipes "
        f"expects less ({gains_text(found.expected)})."
    )


def _settling_line(found: Settling, level: float) -> str:
    who = " and ".join(map(whose, found.numbers))
    if found.repeats == 0:
        return (
            f"Against {who} alone it would hold; several recipes together leave it open (the "
            f"sweep's command with `--settle {level:g}` chooses what to repeat)."
        )
    ways = []
    if found.repeats is not None:
        times = "once more" if found.repeats == 1 else f"{found.repeats} more times"
        ways.append(
            f"train {who} {times} with other seeds, about {max(1, round(found.minutes))} minutes "
            f"of training and evaluation (the sweep's command with `--settle {level:g}` chooses "
            "the repeats itself)"
        )
    if found.segments is not None:
        times_more = ceil(10 * found.segments) / 10
        ways.append(f"use {times_more:g} times as many evaluation segments")
    if not ways:
        return "Neither more seeds nor more segments alone would settle it; both are needed."
    return (
        "To settle it, if the expected lead over the strongest rival stays as it is: "
        f"{', or '.join(ways)}."
    )


def next_commands(answer: Answer, run: str) -> tuple[tuple[str, str], ...]:
    """The next commands, each with its purpose."""
    where = shlex.quote(run)
    found = [
        (f"python -m mtray test {where}", "measure the front on segments that no trial has seen")
    ]
    if answer.number != BASE_NUMBER:
        found.append(
            (f"python -m mtray export {where} --model {answer.number} OUT", "write the model")
        )
    return (*found, (f"python -m mtray explain {where}", "what each parameter does"))


def command_lines(commands: Sequence[tuple[str, str]]) -> list[str]:
    if not commands:
        return []
    width = max(len(command) for command, _ in commands)
    return ["next steps:", *(f"  {command:{width}}  # {what}" for command, what in commands)]


def prediction_head(found: Prediction) -> list[str]:
    trained = "not trained in this run"
    if found.trained is not None:
        trained = f"trained as trial {found.trained}"
    return [
        f"recipe: {recipe_text(found.recipe)}",
        f"{trained}; predicted from {found.recipes} trained recipes",
    ]


def prediction_sheet(found: Prediction) -> Sheet:
    """A row for each measure."""
    rows = [
        [
            m.measure,
            number_text(m.value, "", m.points),
            interval_text(m.low, m.high, "", m.points),
            number_text(m.gain, points=m.points),
            interval_text(m.gain_low, m.gain_high, points=m.points),
        ]
        for m in found.measures
    ]
    head = ["measure", "predicted", "95 %", "minus base model", "95 % of that"]
    return Sheet(head, rows, left=frozenset(("measure",)))
