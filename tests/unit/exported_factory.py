"""A trial of `bound_run`'s run with a record of its training, to be exported."""

from dataclasses import replace

from bound_run import PLAIN, SPACE, record, save_model, study_in, write_files

from mtray.data.store import mixed
from mtray.retrain import build_sources
from mtray.schema import Recipe, TrainingRecord, study_of
from mtray.search.ledger.run_folder import bind
from mtray.training.models import load_tokenizer

RECIPE = Recipe(parallel_size=24, mono_ratio=1.0, learning_rate=1e-3)


def training(**changes):
    fields = {
        "steps": 3, "tokens": 600, "tokens_per_second": 9.0, "trainable_parameters": 200,
        "total_parameters": 400, "accumulated_learning_rate": 0.02, "precision": "fp32",
        "loss": ((3, 1.5),),
    }  # fmt: skip
    return TrainingRecord(**(fields | changes))


def trained_run(folder, recipe=RECIPE, frozen=(), job=PLAIN, **settings):
    """The run's folder, with the record of trial 0 as of this recipe; `settings`: of the study's
    training."""
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder)
    limits = {"max_length": 200, "batch_examples": 16, **settings}
    study = study_in(folder, save_model(folder / "model"), training=limits)
    asked = replace(job, recipe=recipe)
    (folder / "run").mkdir()
    bind(folder / "run", study, SPACE)
    store = build_sources(study, asked, {}, load_tokenizer(study.model))
    _, mix = mixed(study_of(recipe, study), store, recipe, asked.draw)
    record(folder / "run", asked, mix, training=training(frozen_blocks=tuple(frozen)))
    return folder / "run"
