"""Runs on a tabulated objective that later runs take trials over from."""

import numpy as np
from ledger_factory import (
    SPACE,
    lucky_run,
    study_of,
    write_lucky,
)
from records_factory import make_failed

from mtray.report.bootstrap_draws import write_draws
from mtray.report.records import read_record, write_record
from mtray.schema import Budget
from mtray.search.ledger.run_folder import BoundStudy, bind
from mtray.search.ledger.warm_start import checked_against_data, earlier_run
from mtray.search_space.space import Space


def run(run_dir, total, taken=(), space=SPACE, reopen=False, **changes):
    """A run on the tabulated objective, its folder bound to study and space."""
    run_dir.mkdir(parents=True, exist_ok=True)
    bind(run_dir, study_of(**changes), space)
    return lucky_run(run_dir, total, reopen, write_with_draws, space=space, taken=taken, **changes)


def write_with_draws(run_dir, job):
    scores = read_record(write_lucky(run_dir, job)).objectives
    noise = np.random.default_rng(job.number).normal(0, 0.02, 20)
    write_draws(run_dir, job.number, {name: s.value + noise for name, s in scores.items()})


class Held:
    """A source with more than any recipe asks for."""

    available, key = 10_000, ""

    def __len__(self):
        return 1_000_000


STORE = {"pairs": Held(), "mono": Held()}


def bound_of(space=SPACE, **changes):
    study = study_of(**changes)
    return BoundStudy(study, space, study.evaluation)


def taken_from(run_dir, space=SPACE, store=STORE, **changes):
    bound = bound_of(space, **changes)
    return checked_against_data(earlier_run(run_dir, bound), bound.study, space, store)


def searched(found):
    """What is taken of a survey, baselines aside."""
    return [t for t in found.taken if t.record.role == "search"]


def narrow(**changes):
    return Space(parameters={**SPACE.parameters, **changes}, fixed=SPACE.fixed)


def old_run(run_dir):
    """An earlier run: baselines 0 to 3, searched trials up to 13, of which 11 failed."""
    run(run_dir, 14, budget=Budget(replicate_share=0, confirm=0))
    write_record(run_dir, make_failed(11))
    return run_dir
