"""What we take of Optuna beyond its interface is still there."""

import inspect

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from mtray.compat.optuna import lock_of, set_constraints


def test_the_lock_of_a_journal_lies_where_we_look_for_it(tmp_path):
    journal = tmp_path / "study.journal"
    backend = JournalFileBackend(str(journal))
    assert not lock_of(journal).is_symlink()
    lock = JournalFileSymlinkLock(str(journal))
    lock.acquire()
    assert lock_of(journal).is_symlink()
    lock_of(journal).unlink()  # as after a kill
    backend.append_logs([{"a": 1}])
    assert list(backend.read_logs(0)) == [{"a": 1}]


@pytest.mark.parametrize("for_dashboard", [False, True])
@pytest.mark.parametrize("over", [{}, {"quality": -0.5}, {"a": 0.0, "b": 2.0}])
def test_constraints_are_set_on_a_trial_by_its_id(over, for_dashboard):
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage)
    study.ask()
    number = study.ask().number
    study_id = storage.get_study_id_from_name(study.study_name)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    set_constraints(study, trial_id, over, for_dashboard)
    study.tell(number, 1.0)
    unnamed = {str(p): value for p, value in enumerate(over.values())} if for_dashboard else {}
    assert [trial.constraints for trial in study.trials] == [{}, over | unnamed]
    assert list(inspect.signature(optuna.trial.Trial).parameters) == ["study", "trial_id"]
