"""A trial's model from its kept weights, or the untouched base model, without training again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtray.errors import RunError
from mtray.evaluation.inference.requests import Request
from mtray.report.records import read_record
from mtray.run_files import result_path, trial_dir, weights_file
from mtray.runtime import keep_freed_memory, versions
from mtray.schema import Mix, Recipe, Study, TrialRecord
from mtray.training.trainable_weights import load_trainable
from mtray.trial.base_model import answers_of, load_base_model
from mtray.trial.job import Outcome, UseModel
from mtray.trial.phase_timer import PhaseTimer


def kept_weights(run_dir: Path, record: TrialRecord) -> Path | None:
    """The weights file of the training behind a record; None where it was not kept, or kept at an
    alpha other than 1."""
    number = record.number
    if record.trained_as is not None:
        number = record.trained_as
        try:
            trained = read_record(result_path(run_dir, number))
        except RunError:
            return None
        if trained.recipe.reversion_alpha != 1:
            return None
    file = trial_dir(run_dir, number) / weights_file(record.recipe.stop_after)
    return file if file.is_file() else None


def kept_outcome(
    file: Path,
    record: TrialRecord,
    study: Study,
    requests: Sequence[Request],
    use: UseModel | None = None,
) -> Outcome:
    """The outputs of the kept model, with the mix and the training of the record; `use` is called
    with the model and its tokenizer."""
    from mtray.training.adapters import prepare
    from mtray.training.reversion import InitialWeights

    keep_freed_memory()
    seconds = PhaseTimer()
    with seconds.phase("load"):
        loaded = load_base_model(study, record.recipe, record.seed)
        module = prepare(loaded.model, record.recipe, study.training, record.seed).model.eval()
        origin = InitialWeights()
        origin.take(module)
        load_trainable(module, file)
    with origin.at(module, 1.0 if record.trained_as is None else record.recipe.reversion_alpha):
        with seconds.phase("generation"):
            outputs = answers_of(study, loaded, module, requests)
        if use is not None:
            use(module, loaded.tokenizer)
    return Outcome(outputs, record.mix, record.training, seconds.phases, versions())


def base_outcome(study: Study, requests: Sequence[Request]) -> Outcome:
    """The outputs of the base model."""
    keep_freed_memory()
    seconds = PhaseTimer()
    with seconds.phase("load"):
        loaded = load_base_model(study, Recipe(parallel_size=0), study.seed)
    with seconds.phase("generation"):
        outputs = answers_of(study, loaded, loaded.model.eval(), requests)
    return Outcome(outputs, Mix(), None, seconds.phases, versions())
