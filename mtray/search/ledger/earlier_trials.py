"""Trials of earlier runs as a new run imports them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.report.recomputed_trials import RecomputedTrial
from mtray.schema import Study, TrialRecord
from mtray.search.ledger.earlier_versions import in_earlier_names, in_earlier_units

KNOWN_BY = "known_by"  # in `extra` of a copy whose record differs under this run's study


def digest(record: TrialRecord) -> str:
    """A hash that a trial shares with all its copies and with no other trial."""
    if known := record.extra.get(KNOWN_BY):
        return str(known)
    own = {"number", "role", "of", "trained_as", "taken_from", "extra"}
    # defaults are excluded, so that a new field of records changes no hash
    text = in_earlier_units(record).model_dump_json(exclude=own, exclude_defaults=True)
    return hashlib.sha256(in_earlier_names(text).encode()).hexdigest()


@dataclass(frozen=True)
class EarlierTrial:
    """A trial that fits.

    - `trial`: as recomputed for this run's study, or as recorded where it is to be measured anew.
    - `run_dir`: its run.
    - `params`: its parameters in this space.
    - `known_by`: its `digest`, the same in all runs.
    - `reverted`: further points of its training.
    - `asked`: how many requests its model has to answer before it can be imported, by evaluation
      set; empty if its stored answers suffice; None if it is imported as it is.
    - `measured_in`: the folder, laid out like a run's, with what was measured again.
    - `again`: whether it is to be trained again instead, as a trial of this run.
    """

    trial: RecomputedTrial
    run_dir: Path
    params: dict[str, Any]
    known_by: str
    reverted: tuple[RecomputedTrial, ...] = ()
    asked: Mapping[str, int] | None = None
    measured_in: Path | None = None
    again: bool = False

    @property
    def record(self) -> TrialRecord:
        return self.trial.record

    @property
    def files(self) -> Path:
        """The folder of the run that its files are copied from."""
        return self.measured_in or self.run_dir


@dataclass(frozen=True)
class EarlierRun:
    """The trials of an earlier run that fit, and for each other trial why it does not.

    - `outside`: baselines outside the space and the reason; they fit if this run has the same
      (`checked_against_data`).
    - `before`: the study of that run.
    - `anew`: what this study measures differently, a line each; if there is any, every trial is
      measured again.
    - `plan`: lines that say what measuring takes.
    """

    run_dir: Path
    taken: tuple[EarlierTrial, ...]
    left_out: tuple[str, ...]
    outside: tuple[tuple[EarlierTrial, str], ...] = ()
    before: Study | None = None
    anew: tuple[str, ...] = ()
    plan: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        whole = len(self.taken) + len(self.left_out) + len(self.outside)
        fit = sum(not trial.again for trial in self.taken)
        head = (
            f"--from {self.run_dir}: {fit} of {whole} trials fit; the base model is measured anew"
        )
        return [head, *self.plan, *(f"  left out: {reason}" for reason in self.left_out)]
