"""`check`: everything a sweep does before its first trial."""

from __future__ import annotations

import shlex
from pathlib import Path

from mtray.preparation import check_first, check_machine, checked
from mtray.run_files import RUNS
from mtray.schema import NO_COMET, Study
from mtray.search.execution.disk_space import check_disk
from mtray.search.execution.ray_connection import check_address
from mtray.sweep_command import arguments, load
from mtray.sweep_plan import allocation_of, plan_lines
from mtray.training.models import block_count


def check(
    study_path: Path | None,
    space_path: Path | None,
    model: str | None,
    address: str | None,
    runs: Path = RUNS,
) -> int:
    """Print the contents of a study; 0 when it can be run here or on the cluster at `address`.
    `runs`: the folder of all runs. Raises MtrayError naming what is wrong."""
    given = {"--study": study_path, "--space": space_path, "--model": model, "--runs-dir": runs}
    options = [part for key, value in given.items() if value for part in (key, str(value))]
    study, space = load(arguments(options))
    if address:
        check_address(address)
    else:
        check_machine(print)
    concurrent = check_first(study, space, address)
    prepared = checked(study, space)
    lines = [*plan_lines(prepared), f"  {allocation_of(prepared).text()}", *model_lines(study)]
    # by default the default folder of runs; the sweep checks its own again
    lines.append(check_disk(study, space, runs.absolute(), concurrent))
    print("\n".join(filter(None, lines)))
    print("everything that a sweep needs is in order")
    return 0


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
