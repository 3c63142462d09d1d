"""`check`: everything a sweep does before its first trial."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from mtray.commands.checked_study import as_checked
from mtray.preparation import check_first, check_machine, checked
from mtray.report.printing import print_json
from mtray.run_files import RUNS
from mtray.schema import NO_COMET, Study
from mtray.search.execution.cluster_address import check_address
from mtray.search.execution.disk_space import check_disk
from mtray.sweep_command import arguments, load
from mtray.sweep_plan import allocation_of, plan_lines
from mtray.training.models import block_count


def check(
    study_path: Path | None,
    space_path: Path | None,
    model: str | None,
    address: str | None,
    runs: Path = RUNS,
    as_json: bool = False,
) -> int:
    """Print the contents of a study; 0 when it can be run here or on the cluster at `address`.
    `runs`: the folder of all runs. Raises MtrayError naming what is wrong."""
    given = {"--study": study_path, "--space": space_path, "--model": model, "--runs-dir": runs}
    options = [part for key, value in given.items() if value for part in (key, str(value))]
    study, space = load(arguments(options))
    notes: list[str] = []
    say = notes.append if as_json else print
    if address:
        check_address(address)
    else:
        check_machine(say)
    concurrent = check_first(study, space, address)
    prepared = checked(study, space, address=address)
    # by default the default folder of runs; the sweep checks its own again
    disk = check_disk(study, space, runs.absolute(), concurrent)
    command = sweep_command({**given, "--address": address})
    if as_json:
        print_json(as_checked(prepared, notes, command))
        return 0
    lines = [*plan_lines(prepared), f"  {allocation_of(prepared).text()}", *model_lines(study)]
    print("\n".join(filter(None, [*lines, disk])))
    print("everything that a sweep needs is in order")
    print(f"next: {command}")
    return 0


def sweep_command(given: Mapping[str, Path | str | None]) -> str:
    """The command that starts a sweep with these options."""
    options = {key: value for key, value in given.items() if value not in (None, RUNS)}
    parts = [part for key, value in options.items() for part in (key, str(value))]
    return shlex.join(["python", "-m", "mtray", "sweep", *parts])


def model_lines(study: Study) -> list[str]:
    comet, own = study.evaluation.comet, study.evaluation.more_metrics
    without = "none, so quality is not measured"
    blocks = block_count(study.model, study.trust_remote_code)
    return [
        f"  model: {study.model}, {blocks} transformer blocks",
        f"  metric: {without if comet == NO_COMET else f'{comet} loads'}",
        *(f"  metric {name}: {m} loads" for name, m in study.evaluation.more_comet.items()),
        *(f"  metric {name}: {shlex.join(c)} loads" for name, c in own.items()),
    ]
