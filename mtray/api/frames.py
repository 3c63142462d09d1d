"""Reports as pandas frames."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mtray.report.abilities import ability_measures
from mtray.report.export import score_columns
from mtray.report.parameters import parameters, weights_of
from mtray.report.translations import Answer, Listing
from mtray.schema import TrialRecord

OUTPUTS = ("part", "index", "source", "reference", "answer", "score", "labels", "truncated")
OTHERS = ("other", "other_score", "other_labels", "gain")


def trials_frame(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """A row for each record, indexed by number; see `mtray.Run.trials`."""
    names = dict.fromkeys(name for record in records for name in record.objectives)
    names |= dict.fromkeys(ability_measures({n: None for r in records for n in r.scores}))
    recipes = [parameters(record.recipe) for record in records]
    weights = dict.fromkeys(weights_of(recipes))
    rows = []
    for record, recipe in zip(records, recipes, strict=True):
        row = {
            "number": record.number, "role": record.role, "state": record.state, "of": record.of,
            "trained_as": record.trained_as, "seed": record.seed, "reason": record.reason or "",
            "seconds": record.total_seconds, "examples": record.mix.examples,
        } | weights | recipe  # fmt: skip
        known = {**record.scores, **record.objectives}
        for name in names:
            row |= score_columns(name, known.get(name))
        rows.append(row)
    whole = {"of": "Int64", "trained_as": "Int64"}  # empty for most trials
    frame = pd.DataFrame(rows, columns=None if rows else ["number", *whole])
    return frame.astype(whole).set_index("number")


def outputs_frame(found: Listing) -> pd.DataFrame:
    """A row for each segment; see `mtray.Run.outputs`."""
    rows = []
    for segment in found.segments:
        answer, other = segment.answer, segment.other or Answer(text="")
        rows.append(
            (
                segment.part, segment.index, segment.source, segment.reference,
                answer.text, answer.score, answer.labels, answer.truncated,
                other.text, other.score, other.labels, segment.gain,
            )
        )  # fmt: skip
    frame = pd.DataFrame(rows, columns=[*OUTPUTS, *OTHERS])
    return frame if found.against else frame.drop(columns=list(OTHERS))
