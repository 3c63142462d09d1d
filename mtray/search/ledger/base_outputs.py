"""Reads the base model's outputs, which its trial stored in the run's folder."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mtray.errors import RunError
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.output_files import read_outputs
from mtray.evaluation.suite import Suite
from mtray.report.records import read_record
from mtray.run_files import BASE_NUMBER, OUTPUTS_FILE, result_path, trial_dir


def read_base_outputs(run_dir: Path, suite: Suite) -> list[Output] | None:
    """The base model's outputs for all requests of the suite; None if there are none to read."""
    path = result_path(run_dir, BASE_NUMBER)
    with contextlib.suppress(RunError):  # a damaged file is reported when the trial is scored
        if path.is_file() and read_record(path).state == "complete":
            path = trial_dir(run_dir, BASE_NUMBER) / OUTPUTS_FILE
            return read_outputs(path, suite.requests, suite.parts)
    return None
