"""What the trials and files of a run are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

WEIGHTS_FILE = "weights.safetensors"  # in a trial's folder
ANY_WEIGHTS_FILE = "weights*.safetensors"
STUDY_FILE = "study.json"
LOCK = ".lock"
JOURNAL = "study.journal"
RESCORED_FILE = "rescored.json"  # in a trial's folder
OUTPUTS_FILE = "outputs.parquet"  # in a trial's folder
DRAWS_FILE = "draws.parquet"  # in a trial's folder
BASE_NUMBER = -1
RESULT = "result.json"
FURTHER = 1_000_000  # from a trial's number to those of further points of its training


def trial_name(number: int) -> str:
    """What a person calls a trial: its number, or `base` for the base model untouched."""
    return "base" if number == BASE_NUMBER else str(number)


def trials_text(numbers: Sequence[int], most: int = 5) -> str:
    """Such as `trial 7` or `trials base, 0, 1 and 9 more`."""
    shown = ", ".join(map(trial_name, numbers[:most]))
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return f"trial{'s' if len(numbers) > 1 else ''} {shown}{more}"


def further_number(number: int, place: int) -> int:
    """The number of the further point of a trial with this place, from 0, among the study's alphas
    and after these its intermediate checkpoints: beyond all numbers that the search gives."""
    return (place + 1) * FURTHER + number


def trial_dir(run_dir: Path, number: int) -> Path:
    """The folder of one trial: `trials/0007`; of the base model untouched: `trials/base`."""
    if number < BASE_NUMBER:
        raise ValueError(f"a trial's number is {BASE_NUMBER} (base) or more, found {number}")
    return run_dir / "trials" / ("base" if number == BASE_NUMBER else f"{number:04d}")


def result_path(run_dir: Path, number: int) -> Path:
    return trial_dir(run_dir, number) / RESULT


def weights_file(stop_after: float) -> str:
    """The name of the file with a training's weights after this share of its steps."""
    return WEIGHTS_FILE if stop_after == 1 else f"weights-{stop_after!r}.safetensors"
