"""The answer of a sweep and predictions in words and tables, for a terminal and a pipe."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from mtray.report.answer import Answer, Settling
from mtray.report.belief import AgainstBaseline, Expected
from mtray.report.compare import ROLE_NAMES
from mtray.report.parameters import recipe_text
from mtray.report.prediction import Prediction
from mtray.report.printing import Sheet
from mtray.report.records import BASE_NUMBER, trial_name


def number_text(value: float, sign: str = "+") -> str:
    """With three decimals; one where it is of points, such as BLEU."""
    return f"{value:{sign}.{1 if abs(value) >= 10 else 3}f}"


def interval_text(low: float, high: float, sign: str = "+") -> str:
    return f"[{number_text(low, sign)}, {number_text(high, sign)}]"


def chance_text(chance: float) -> str:
    """A probability; draws do not tell one above .99 from certainty."""
    if chance > 0.99:
        return "> .99"
    return "< .01" if chance < 0.01 else f"{chance:.2f}".lstrip("0")


def expected_sheet(against: Sequence[AgainstBaseline], title: str = "") -> Sheet:
    """A row for each baseline and objective."""
    rows = [
        [ROLE_NAMES[each.role] if not place else "", *_expected_cells(gain)]
        for each in against
        for place, gain in enumerate(each.gains)
    ]
    return Sheet(
        ["against", "objective", "expected gain", "P(better)"], rows, title=title,
        left=frozenset(("against", "objective")),
    )  # fmt: skip


def _expected_cells(gain: Expected) -> list[str]:
    value = f"{number_text(gain.gain)} {interval_text(gain.low, gain.high)}"
    return [gain.objective, value, chance_text(gain.better)]


def answer_head(answer: Answer) -> list[str]:
    """What to do, in one or two sentences."""
    if answer.number == BASE_NUMBER:
        return [
            "Answer: leave the model as it is. No trained recipe is expected to be worth what it "
            "costs in the other objectives."
        ]
    seeds = "one seed" if answer.seeds == 1 else f"{answer.seeds} seeds"
    return [
        f"Answer: the recipe of trial {answer.number}, trained with {seeds}: "
        f"{recipe_text(answer.recipe)}."
    ]


def told(answer: Answer, run: str) -> Answer:
    """With its words and the commands that come next."""
    text = (*answer_head(answer), *answer_lines(answer))
    return answer.model_copy(update={"text": text, "commands": next_commands(answer, run)})


def answer_lines(answer: Answer) -> list[str]:
    """How sure it is, what would make it surer, and what may be better yet."""
    lines = [_worth_line(answer), _sure_line(answer)]
    if answer.settling is not None:
        lines.append(_settling_line(answer.settling, answer.level))
    if answer.untried is not None:
        gains = ", ".join(
            f"{gain.objective} {number_text(gain.gain)} {interval_text(gain.low, gain.high)}"
            for gain in answer.untried.gains
        )
        lines.append(
            f"Not trained, and predicted to be worth more (probability "
            f"{chance_text(answer.untried.better)}): {recipe_text(answer.untried.recipe)}; over "
            f"the answer: {gains}."
        )
    return lines


def _worth_line(answer: Answer) -> str:
    reach = ", ".join(
        f"{name} {number_text(scale, '')}" for name, scale in answer.scale.items() if scale
    )
    source = (
        "by a model of all recipes, so that luck does not count as merit"
        if answer.modelled
        else "by the recipes' own means, since there are too few for a model of them"
    )
    return (
        "It has the greatest expected sum of the objectives, each in units of how far the front "
        f"reaches ({reach or 'nowhere yet'}), {source}."
    )


def _sure_line(answer: Answer) -> str:
    sure = (
        f"No other trained recipe is better by more than {answer.margin:g} of such a unit: "
        f"probability {chance_text(answer.probability)}"
    )
    if answer.settled:
        return f"{sure}; settled, as {answer.level:g} was asked for."
    rivals = ", ".join(f"{trial_name(r.number)} ({chance_text(r.chance)})" for r in answer.rivals)
    return f"{sure}; not settled at {answer.level:g}." + (
        f" It may be best instead, with probability: trial {rivals}." if rivals else ""
    )


def _settling_line(found: Settling, level: float) -> str:
    who = " and ".join(f"trial {trial_name(number)}" for number in found.numbers)
    ways = []
    if found.repeats is not None:
        times = "once more" if found.repeats == 1 else f"{found.repeats} times more"
        ways.append(
            f"train {who} {times} with other seeds, about {max(1, round(found.minutes))} minutes "
            f"of trials (the same command with `--settle {level:g}` trains what tells most)"
        )
    if found.segments is not None:
        ways.append(f"take {found.segments:.1f} times as many evaluation segments")
    if not ways:
        return (
            "Neither more seeds nor more segments alone would settle it; both would have to grow."
        )
    return f"To settle it, if the distance to the strongest rival stays: {', or '.join(ways)}."


def next_commands(answer: Answer, run: str) -> tuple[tuple[str, str], ...]:
    """The commands that come next, each with what it is for."""
    where = shlex.quote(run)
    found = [(f"python -m mtray test {where}", "on segments that no trial has seen")]
    if answer.number != BASE_NUMBER:
        found.append(
            (f"python -m mtray export {where} --model {answer.number} OUT", "the model itself")
        )
    return (*found, (f"python -m mtray explain {where}", "what each parameter does"))


def command_lines(commands: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(command) for command, _ in commands)
    return ["next:", *(f"  {command:{width}}  # {what}" for command, what in commands)]


def prediction_head(found: Prediction) -> list[str]:
    trained = "not trained in this run"
    if found.trained is not None:
        trained = f"trained as trial {found.trained}"
    return [
        f"recipe: {recipe_text(found.recipe)}",
        f"{trained}; predicted from {found.recipes} recipes",
    ]


def prediction_sheet(found: Prediction) -> Sheet:
    """A row for each measure."""
    rows = [
        [
            m.measure, number_text(m.value, ""), interval_text(m.low, m.high, ""),
            number_text(m.gain), interval_text(m.gain_low, m.gain_high),
        ]
        for m in found.measures
    ]  # fmt: skip
    head = ["measure", "predicted", "95 %", "less the base model's", "95 % "]
    return Sheet(head, rows, left=frozenset(("measure",)))
