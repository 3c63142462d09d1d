"""A run whose study has a preference: what the search is told, and that a restart goes on alike."""

import numpy as np
import pytest
from ledger_factory import ledger_in, lucky_run, study_of, write_lucky

from mtray.run_files import BASE_NUMBER
from mtray.schema import Preference
from mtray.trial.job import base_job

TRIALS = 11  # four baselines, four points that fill the space, three suggestions
PREFER = {"retention": Preference(at_least=0.9), "quality": Preference(weight=(1, 3))}


def recipes(jobs):
    return [job.recipe for job in jobs]


@pytest.fixture(scope="module")
def preferring(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a")
    return folder, lucky_run(folder, TRIALS, sampler="ehvi", prefer=PREFER)


def test_the_search_knows_the_preference_the_base_model_and_the_baselines(preferring):
    folder, _ = preferring
    ledger = ledger_in(folder, "ehvi", prefer=PREFER)
    known = ledger._suggester._known()
    assert len(known.anchors) == 5
    base = ledger.records.read(BASE_NUMBER)
    assert known.base == [base.objectives[name].value for name in ("quality", "retention")]
    assert ledger._suggester._where.prefer.floors.tolist() == [-np.inf, 0.9]


def test_a_base_model_that_is_measured_later_is_told(tmp_path):
    ledger = ledger_in(tmp_path, prefer=PREFER)
    assert ledger._suggester._known().base is None
    write_lucky(tmp_path, base_job(study_of()))
    ledger.tell(BASE_NUMBER)
    assert len(ledger._suggester._known().base) == 2


def test_only_what_is_suggested_follows_it(preferring, tmp_path):
    _, jobs = preferring
    free = lucky_run(tmp_path, TRIALS, sampler="ehvi")
    assert recipes(free)[:7] == recipes(jobs)[:7]
    assert recipes(free)[8:] != recipes(jobs)[8:]


def test_a_restart_suggests_the_same(preferring, tmp_path):
    _, jobs = preferring
    again = lucky_run(tmp_path, TRIALS, reopen=True, sampler="ehvi", prefer=PREFER)
    assert recipes(again) == recipes(jobs)
