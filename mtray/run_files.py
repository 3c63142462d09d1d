"""Names of the trials and files of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

RUNS = Path("runs")  # where a sweep puts its run if not told otherwise
WEIGHTS_FILE = "weights.safetensors"  # in a trial's folder
ANY_WEIGHTS_FILE = "weights*.safetensors"
STUDY_FILE = "study.json"
LOCK = ".lock"
JOURNAL = "study.journal"
STARTS_FILE = "starts.jsonl"
MIRROR_FILE = "mirror.json"
MIRROR_LOCK = ".mirror.lock"
RESCORED_FILE = "rescored.json"  # in a trial's folder
OUTPUTS_FILE = "outputs.parquet"  # in a trial's folder
DRAWS_FILE = "draws.parquet"  # in a trial's folder
BASE_NUMBER = -1
RESULT = "result.json"
FURTHER = 1_000_000  # offset of the numbers of further points of a training


def trial_name(number: int) -> str:
    """A trial's name for people: its number, or `base` for the untouched base model."""
    return "base" if number == BASE_NUMBER else str(number)


def trials_text(numbers: Sequence[int], most: int = 5) -> str:
    """For example `trial 7` or `trials base, 0, 1 and 9 more`."""
    shown = ", ".join(map(trial_name, numbers[:most]))
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return f"trial{'s' if len(numbers) > 1 else ''} {shown}{more}"


def further_number(number: int, place: int) -> int:
    """The number of a further point of a trial, beyond all numbers that the search assigns. `place`
    counts from 0 over the study's alphas, then its intermediate checkpoints."""
    return (place + 1) * FURTHER + number


def trial_dir(run_dir: Path, number: int) -> Path:
    """The folder of one trial: `trials/0007`; of the untouched base model: `trials/base`."""
    if number < BASE_NUMBER:
        raise ValueError(f"a trial's number is {BASE_NUMBER} (base) or more, found {number}")
    return run_dir / "trials" / ("base" if number == BASE_NUMBER else f"{number:04d}")


def result_path(run_dir: Path, number: int) -> Path:
    return trial_dir(run_dir, number) / RESULT


def weights_file(stop_after: float) -> str:
    """The name of the file with a training's weights after this share of its steps."""
    return WEIGHTS_FILE if stop_after == 1 else f"weights-{stop_after!r}.safetensors"
