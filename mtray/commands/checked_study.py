"""`check --json`: a checked study as one value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtray.data.variant_tables import is_draws
from mtray.preparation import PreparedSweep
from mtray.schema import Frozen
from mtray.search_space.parameters import Value
from mtray.sweep_plan import allocation_of


class CheckedSource(Frozen):
    """A source of a checked study.

    - `examples`: the number that trials can draw from.
    - `left_out`: number of rows that filters and `max_length` drop, by reason.
    """

    examples: int
    left_out: dict[str, int]


class Checked(Frozen):
    """What `check --json` prints for a study that can be run; otherwise the error is on stderr and
    the exit code is 2.

    - `study`: its name.
    - `model`: the base model, a folder or hub name.
    - `seed`: of the study.
    - `sources`: by name.
    - `requests`: evaluation requests of each trial.
    - `abilities`: the abilities that are measured.
    - `trials`: the budget, divided into the next four.
    - `baselines`: the baselines, one trial each.
    - `searched`: trials that the search suggests.
    - `repeats`: trials that repeat a recipe with another seed.
    - `confirm`: trials that give candidates for the front further seeds.
    - `parameters`: the ranges that are searched, in words.
    - `fixed`: parameters with one value.
    - `notes`: on data, model and machine.
    - `next`: the command that starts the sweep.
    """

    study: str
    model: str
    seed: int
    sources: dict[str, CheckedSource]
    requests: int
    abilities: tuple[str, ...]
    trials: int
    baselines: tuple[str, ...]
    searched: int
    repeats: int
    confirm: int
    parameters: dict[str, str]
    fixed: dict[str, Value]
    notes: tuple[str, ...]
    next: str


def as_checked(prepared: PreparedSweep, notes: Sequence[str], command: str) -> Checked:
    """What `prepared` holds; `notes`: on the machine; `command`: the next one."""
    study, space, division = prepared.study, prepared.space, allocation_of(prepared)
    tables = {name: t for name, t in prepared.store.items() if not is_draws(name)}
    remarks = [remark for table in tables.values() for remark in table.remarks]
    return Checked(
        study=study.name, model=study.model, seed=study.seed,
        sources={
            name: CheckedSource(
                examples=table.available,
                left_out={**table.left_out, **_too_long(table)},
            )
            for name, table in tables.items()
        },
        requests=len(prepared.suite.requests),
        abilities=tuple(study.evaluation.abilities),
        trials=division.trials, baselines=division.baselines, searched=division.searched,
        repeats=division.repeats, confirm=division.confirm,
        parameters={name: p.text() for name, p in space.parameters.items()},
        fixed=space.fixed,
        notes=(*notes, *remarks, *prepared.seen),
        next=command,
    )  # fmt: skip


def _too_long(table: Any) -> dict[str, int]:
    return {"over max_length": table.dropped} if table.dropped else {}
