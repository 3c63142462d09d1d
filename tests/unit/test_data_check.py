"""A training that is made again draws exactly what its record says: by `rerun`, `export --model`
and `test`, also where test segments were named after the run was bound."""

import pytest
from bound_run import (
    JOBS,
    PLAIN,
    again,
    drawn,
    record,
    save_model,
    start,
    study_in,
    without_training,
    write_files,
)

from mtray.commands import export_model, held_out_test
from mtray.run_files import trial_dir
from mtray.trial.job import Outcome


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def commands(monkeypatch):
    return without_training(monkeypatch)


# whether the study has test segments at the run's first and at its last start
NAMED = {"never": (False, False), "from the start": (True, True), "later": (False, True),
         "no more": (True, False)}  # fmt: skip


@pytest.mark.parametrize("kind", JOBS)
@pytest.mark.parametrize("named", NAMED)
def test_a_training_made_again_draws_what_the_trial_drew(tmp_path, model, commands, kind, named):
    (first, last), (job, changes) = NAMED[named], JOBS[kind]
    write_files(tmp_path)
    run_dir = tmp_path / "run"
    expected = start(run_dir, study_in(tmp_path, model, first, **changes), job)
    assert len(expected.ids) >= 24
    assert all(bool(s.digest) == bool(s.realised) for s in expected.mix.shares)
    record(run_dir, job, expected.mix)
    study = study_in(tmp_path, model, last, **changes)
    assert start(run_dir, study, job) == expected, "a later trial of the run"
    for command in ("rerun", "export", *(["test"] if last else [])):
        commands.clear()
        assert again(command, run_dir, tmp_path) == 0, command
        trained, store, same = commands[0]
        assert drawn(trained, store, same) == expected and same.draw == job.draw, command


def test_the_texts_that_leakage_is_looked_for_in_are_those_at_binding(tmp_path, model):
    write_files(tmp_path)
    kept = {}
    for first in (False, True):
        found = start(tmp_path / f"run-{first}", study_in(tmp_path, model, first), PLAIN)
        kept[first] = {s.source: s.available for s in found.mix.shares}
    assert kept == {False: {"pairs": 197, "mono": 152}, True: {"pairs": 192, "mono": 150}}


def test_kept_weights_ask_for_no_source(tmp_path, model, commands, monkeypatch):
    write_files(tmp_path)
    run_dir = tmp_path / "run"
    expected = start(run_dir, study_in(tmp_path, model, True), PLAIN)
    found = record(run_dir, PLAIN, expected.mix)
    (trial_dir(run_dir, 0) / "weights.safetensors").write_bytes(b"")
    (tmp_path / "pairs.tsv").unlink()

    def kept(file, record, study, requests, use=None):
        return Outcome([], record.mix, None, {}, {})

    for module in (export_model, held_out_test):
        monkeypatch.setattr(module, "kept_outcome", kept)
    assert again("export", run_dir, tmp_path) == 0
    assert again("test", run_dir, tmp_path) == 0
    assert commands.keys() == {-1}, "the base model is answered anew, and nothing else"
    assert found.mix == expected.mix
