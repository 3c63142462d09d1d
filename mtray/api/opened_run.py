"""A run as pandas frames, a figure, predictions and translations."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from mtray.api.frames import outputs_frame, trials_frame
from mtray.commands.front import ViewedRun, ViewOptions, front_from, seen
from mtray.commands.outputs import Wanted, list_outputs
from mtray.commands.predict import evidence_of, starting_point
from mtray.report.answer import Answer
from mtray.report.export import front_rows
from mtray.report.front import Front
from mtray.report.plots import front_figure
from mtray.report.prediction import Prediction, predicted, recipe_near
from mtray.report.surface import ModelledRun, modelled
from mtray.run_files import BASE_NUMBER
from mtray.schema import Recipe, Study, TrialRecord
from mtray.search_space.parameters import Value
from mtray.search_space.space import Space


class Run:
    """A run as its folder held it when it was opened, finished or not; `open_run` makes one.

    A run that goes on does not change what was read: open it again for newer trials. Every method
    raises RunError where the run has too few trials for it.
    """

    def __init__(self, found: ViewedRun) -> None:
        self._found = found

    def __repr__(self) -> str:
        return f"<mtray.Run {self.path}: {len(self.records)} records>"

    @property
    def path(self) -> Path:
        """The run's folder, absolute."""
        return self._found.folder

    @property
    def study(self) -> Study:
        """What is fixed."""
        return self._found.study

    @property
    def space(self) -> Space:
        """What is searched."""
        return self._found.space

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """Every record, by number; the base model's is the first."""
        return self._found.records

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Every trial in whatever state, a row each, indexed by number (-1: the base model).

        Columns: `role`, `state`, `of` (the trial that it repeats), `trained_as`, `seed`, `reason`
        (why it did not complete), `seconds`, `examples`; the recipe's parameters by name; and each
        measure `x` with its 95 % interval over segments, `x_low` and `x_high`: the objectives and
        the retention of every ability.
        """
        return trials_frame(self.records)

    @cached_property
    def recipes(self) -> pd.DataFrame:
        """The recipes with a complete trial, averaged over their seeds: the rows and columns of
        `front.csv`, indexed by number. `x_gain` is the gain over the base model, positive is
        better."""
        return pd.DataFrame(front_rows(self.front_report)).set_index("number")

    @property
    def front(self) -> pd.DataFrame:
        """The recipes on the front, from the best in the first objective to the worst; columns as
        of `recipes`."""
        return self.recipes.loc[list(self.front_report.front)]

    @cached_property
    def front_report(self) -> Front:
        """Everything that `front.json` has, as typed values."""
        return front_from(self._found, ViewOptions())

    @property
    def answer(self) -> Answer | None:
        """The recommended recipe and how certain it is; None before the base model and a recipe are
        measured."""
        return self.front_report.answer

    def plot(self) -> Figure:
        """The front as a matplotlib figure, 8 x 5.2 inches, as `front.png` shows it; a notebook
        displays it, and `savefig` writes any format of matplotlib."""
        return front_figure(self.front_report)

    def predict(self, recipe: Mapping[str, Value] | None = None) -> Prediction:
        """The expected measures of a recipe, trained or not, with 95 % intervals. Parameters that
        are not given are those of the recommended recipe.

        Raises ConfigError for a parameter that the run does not vary or a value outside its space,
        RunError with fewer than five trained recipes.
        """
        surface, start = self._modelled
        pairs = [f"{name}={value}" for name, value in (recipe or {}).items()]
        return predicted(surface, recipe_near(pairs, start, self.space), self.study.objectives)

    @cached_property
    def _modelled(self) -> tuple[ModelledRun, Recipe]:
        found = evidence_of(self.path, self.study)
        surface = modelled(found, self.space)
        return surface, starting_point(found, self.study, self.space)[0]

    def outputs(
        self,
        trial: int | Literal["base"],
        against: int | Literal["base", "none"] = "base",
        *,
        part: str | None = None,
        metric: Literal["chrf", "chrf++", "comet"] = "chrf",
        label: str = "",
    ) -> pd.DataFrame:
        """What a trial answered, a row for each segment, beside another trial's answers.

        `part`: one evaluation set, a direction or an ability (default: every direction); `metric`:
        of the segments' scores; `label`: only answers with this failure label. Columns: `part`,
        `index`, `source`, `reference`, `answer`, `score`, `labels`, `truncated`, and of the other
        trial `other`, `other_score`, `other_labels`, with `gain`: the score minus the other's.

        Raises RunError for a trial without outputs, ConfigError for a part that there is not.
        """
        of, other = ("base" if n == BASE_NUMBER else str(n) for n in (trial, against))
        wanted = Wanted(other, part, metric, "first", sys.maxsize, label)
        return outputs_frame(list_outputs(self.path, of, wanted))


def open_run(path: str | PathLike[str]) -> Run:
    """The run in a folder; a name alone is looked for in `runs/`, too. Raises RunError where there
    is none, or a record is damaged."""
    return Run(seen(Path(path), ViewOptions()))
