"""A trial's model from the weights that it kept, without training again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtray.errors import RunError
from mtray.evaluation.engine import Request
from mtray.job import Outcome, Use
from mtray.report.records import read_record, result_path, trial_dir
from mtray.runtime import keep_freed_memory, versions
from mtray.schema import Study, TrialRecord
from mtray.seconds import Seconds
from mtray.training.moved import load_moved, moved_file
from mtray.trial import loaded


def kept_weights(run_dir: Path, record: TrialRecord) -> Path | None:
    """The file of the training that a record's model has; None where it was not kept, or kept at
    another alpha than 1."""
    number = record.number
    if record.trained_as is not None:
        number = record.trained_as
        try:
            trained = read_record(result_path(run_dir, number))
        except RunError:
            return None
        if trained.recipe.alpha != 1:
            return None
    file = trial_dir(run_dir, number) / moved_file(record.recipe.stop_after)
    return file if file.is_file() else None


def kept_outcome(
    file: Path,
    record: TrialRecord,
    study: Study,
    requests: Sequence[Request],
    use: Use | None = None,
) -> Outcome:
    """What the kept model answers, with the mix and the training of the record; `use` is called
    with the model and its tokenizer."""
    from mtray.evaluation.batches import settings_of
    from mtray.evaluation.engine import answer_part, joined
    from mtray.training.adapters import merged, prepare
    from mtray.training.reversion import Origin

    keep_freed_memory()
    seconds = Seconds()
    with seconds.phase("load"):
        model, tokenizer, precision = loaded(study, record.recipe, record.seed)
        module = prepare(model, record.recipe, study.training, record.seed).model.eval()
        origin = Origin()
        origin.take(module)
        load_moved(module, file)
    settings = settings_of(study.evaluation, module, tokenizer, precision)
    with origin.at(module, 1.0 if record.trained_as is None else record.recipe.alpha):
        with seconds.phase("generation"), merged(module):
            answered = answer_part(settings, requests, (0, 1))
        if use is not None:
            use(module, tokenizer)
    outputs = joined(requests, [answered])
    return Outcome(outputs, record.mix, record.training, seconds.phases, versions())
