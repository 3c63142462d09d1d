"""Ledgers with a tabulated objective in the place of training, for the tests of the search."""

from __future__ import annotations

import numpy as np
import optuna
from records_factory import make_record, make_study

from mtray.report.records import write_record
from mtray.schema import Budget, Source
from mtray.search.ledger.ledger import Ledger
from mtray.search_space.parameters import FloatRange, IntRange
from mtray.search_space.space import Space
from mtray.trial.job import base_job

SPACE = Space(
    parameters={
        "parallel_size": IntRange(type="int", low=256, high=8192, log=True),
        "mono_ratio": FloatRange(type="float", low=0.0, high=2.0),
        "learning_rate": FloatRange(type="float", low=2e-4, high=4e-3, log=True),
    },
    fixed={"replay_fraction": 0.1},
)
SOURCES = (
    Source(name="pairs", kind="parallel", path="p.tsv", languages=("en", "uk")),
    Source(name="mono", kind="mono", path="m.txt", languages=("en",)),
)
# too few trials to train the first baseline twice, so that a baseline's number is its place; how
# many a run has is said to `next`
FEW = Budget(trials=2, confirm=0)
REFERENCES = ["parallel_only", "mono_one_to_one", "mono_two_to_one", "uniform"]


def study_of(sampler="random", **changes):
    fields = {
        "sampler": sampler,
        "sources": SOURCES,
        "defaults": {"learning_rate": 0.001},
        "budget": FEW,
    }
    return make_study(**(fields | changes))


def ledger_in(run_dir, sampler="random", space=SPACE, taken=(), **changes):
    return Ledger(run_dir, study_of(sampler, **changes), space, taken)


def push_of(job):
    return job.recipe.parallel_size / 8192 + 100 * (job.recipe.learning_rate or 1e-3)


def measured(job):
    """The tabulated objective: two goals that pull apart."""
    push = push_of(job)
    return 0.4 + 0.2 * push, 0.9 - 0.3 * push + 0.04 * job.recipe.mono_ratio


def write(run_dir, job):
    quality, retention = measured(job)
    record = make_record(job.number, quality, retention, job.role, recipe=job.recipe)
    return write_record(run_dir, record)


def write_lucky(run_dir, job):
    """Two goals that pull apart, and luck by number of the replicate."""
    push = push_of(job)
    luck = np.random.default_rng([job.seed, round(1e6 * push)]).normal(0, 0.02, 2)
    return write_record(
        run_dir,
        make_record(
            job.number, 0.4 + 0.2 * push + luck[0], min(1.0, 1 - 0.3 * push + luck[1]), job.role,
            recipe=job.recipe, seed=job.seed, replicate=job.replicate, of=job.of,
        ),
    )  # fmt: skip


def run(run_dir, total, reopen=False, leave=write, **options):
    """Run to `total` trials, from the same ledger or from a new one for each trial; `leave` writes
    a trial's record."""
    ledger, jobs = ledger_in(run_dir, **options), []
    while (job := ledger.next(total)) is not None:
        jobs.append(job)
        leave(run_dir, job)
        if reopen:
            ledger = ledger_in(run_dir, **options)
        else:
            ledger.tell(job.number)
    return jobs


def lucky_run(run_dir, total, reopen=False, leave=write_lucky, **options):
    """The same where trials of one recipe differ by luck, after the base model."""
    write_lucky(run_dir, base_job(study_of()))
    return run(run_dir, total, reopen, leave, **options)


def trials_in(run_dir):
    backend = optuna.storages.journal.JournalFileBackend(str(run_dir / "study.journal"))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name="made-up", storage=storage).trials


def states_in(run_dir):
    return [t.state for t in trials_in(run_dir)]
