"""`run:NAME/7` as a study's model: the model of trial 7 of the run NAME, from its kept weights.

It is written once as a plain Hugging Face folder beside the trial's record, with adapters merged
and a file that says which trial it is from (`mtray.lineage`). From then on the study's model is a
folder like any other.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.errors import ConfigError, ModelError, MtrayError, RunError
from mtray.files import file_hash
from mtray.lineage import lineage, lineage_of, write_lineage
from mtray.retrain import find_record
from mtray.run_files import ANY_WEIGHTS_FILE, BASE_NUMBER, STUDY_FILE, trial_dir, trials_text
from mtray.schema import Lineage, Study, TrialRecord, as_written
from mtray.search.ledger.kept_model import kept_outcome, kept_weights
from mtray.search.ledger.run_folder import read_bound
from mtray.separate_process import in_separate_process

PREFIX = "run:"
NAME = re.compile(r"run:(?P<run>.+)/(?P<trial>[^/]+)")
MODEL_FOLDER = "model"  # in a trial's folder
Say = Callable[[str], None]


@dataclass(frozen=True)
class _Named:
    """One `run:NAME/7` of a study: its key and text, the run's folder, and the record of the trial
    and the study that trained it."""

    key: str
    text: str
    run_dir: Path
    record: TrialRecord
    study: Study

    @property
    def folder(self) -> Path:
        return trial_dir(self.run_dir, self.record.number) / MODEL_FOLDER

    @property
    def export(self) -> str:
        """The command that trains it again into a folder."""
        merge = "" if self.record.recipe.method == "full" else " --merge"
        run, number = shlex.quote(str(self.run_dir)), self.record.number
        return f"`python -m mtray export {run} --model {number} OUT{merge}`"


def with_run_models(study: Study, runs: Path, say: Say = lambda _: None) -> Study:
    """The study with every `run:NAME/7` (a run under `runs`) replaced by the folder of that model,
    which is written if it does not exist yet. A missing `training.freeze_from` becomes the model
    that the base model was trained from. Raises MtrayError."""
    model = _resolved("model", study.model, runs, say)
    earlier = study.training.freeze_from
    if earlier is not None:
        earlier = _resolved("training.freeze_from", earlier, runs, say)
    elif origin := lineage_of(model):
        earlier = origin.base
    if (model, earlier) == (study.model, study.training.freeze_from):
        return study
    training = study.training.model_copy(update={"freeze_from": earlier})
    return study.model_copy(update={"model": model, "training": training})


def _resolved(key: str, text: str, runs: Path, say: Say) -> str:
    if not text.startswith(PREFIX):
        return text
    found = _find(key, text, runs)
    if found.record.number == BASE_NUMBER:
        return found.study.model
    return str(_written(found, say))


def _find(key: str, text: str, runs: Path) -> _Named:
    """ConfigError where there is no such run or trial."""
    parts = NAME.fullmatch(text)
    if parts is None:
        raise ConfigError(
            f"`{key}`: {text!r}: expected run:NAME/NUMBER, such as run:phase-1/7, or run:NAME/base "
            "for the model that the run began with"
        )
    run_dir = (runs / parts["run"]).expanduser().absolute()
    if not (run_dir / STUDY_FILE).is_file():
        known = ", ".join(sorted(f.parent.name for f in runs.glob(f"*/{STUDY_FILE}"))) or "none"
        raise ConfigError(
            f"`{key}`: {text!r}: no run {parts['run']!r} in {runs}; runs there: {known}. Train it "
            f"first, with --name {shlex.quote(parts['run'])}, or name the folder of all runs with "
            "--runs-dir"
        )
    try:
        record = find_record(run_dir, parts["trial"])
        return _Named(key, text, run_dir, record, read_bound(run_dir).study)
    except MtrayError as error:
        raise ConfigError(
            f"`{key}`: {text!r}: {error}; `python -m mtray front {shlex.quote(str(run_dir))}` "
            "shows the trials"
        ) from None


def _written(named: _Named, say: Say) -> Path:
    """The folder of the trial's model. Raises RunError where the run's weights are not those that
    the folder was made from, ModelError where there are none."""
    weights, known = kept_weights(named.run_dir, named.record), lineage_of(str(named.folder))
    if weights is None and known is None:
        raise ModelError(_no_weights(named))
    digest = None if weights is None else file_hash(weights)
    if known is not None:
        _check_same(named, known, digest)
        return named.folder
    assert weights is not None and digest is not None
    _check_gpu(named)
    say(f"writing the model of {named.text} into {named.folder}")
    try:
        in_separate_process(_write, named, weights, digest)
    except OSError as error:
        raise ModelError(
            f"`{named.key}`: {named.text!r}: {named.folder} cannot be written ({error.strerror}); "
            f"write the model elsewhere, {named.export}, and give that folder"
        ) from None
    return named.folder


def _no_weights(named: _Named) -> str:
    kept = {f.parent.name for f in (named.run_dir / "trials").glob(f"*/{ANY_WEIGHTS_FILE}")}
    numbers = sorted(int(name) for name in kept if name.isdecimal())
    there = f"they are kept of {trials_text(numbers)}" if numbers else "it keeps none"
    setting = named.study.training.keep_weights
    return (
        f"`{named.key}`: {named.text!r}: the run has no weights of trial {named.record.number}; "
        f"{there} (its `training.keep_weights` is {setting}; front keeps those of trials on its "
        f"front, all those of all). Train it again as recorded, {named.export}, and give that "
        f"folder as `{named.key}`"
    )


def _check_same(named: _Named, known: Lineage, digest: str | None) -> None:
    same = digest is None or digest == known.weights
    if same and (known.recipe, known.seed) == (named.record.recipe, named.record.seed):
        return
    raise RunError(
        f"`{named.key}`: {named.text!r}: the trial has changed since its model was written into "
        f"{named.folder} (sha256 of its weights was {known.weights}, is {digest}); remove that "
        "folder to begin from the present trial, and give sweeps that began from the old one "
        "another --name"
    )


def _check_gpu(named: _Named) -> None:
    """An adapter of 4-bit weights can only be merged where these can be loaded."""
    if named.record.recipe.method != "qlora":
        return
    import torch

    if not torch.cuda.is_available():
        raise ModelError(
            f"`{named.key}`: {named.text!r}: was trained with qlora, and merging its adapter needs "
            f"a GPU; run {named.export} on a machine that has one, and give that folder"
        )


def _write(named: _Named, weights: Path, digest: str) -> None:
    from mtray.training.export import save_model, whole_folder

    record, study = named.record, as_written(named.study)
    with whole_folder(named.folder) as folder:

        def keep(module: Any, tokenizer: Any) -> None:
            save_model(module, tokenizer, folder, merge=True)

        kept_outcome(weights, record, study, [], keep)
        write_lineage(lineage(record, named.study, named.run_dir.name, digest), folder)
