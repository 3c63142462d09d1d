"""The journal as optuna-dashboard shows it, asked by its web interface, and by Optuna's own API."""

import io
import json
import sys

import optuna
import pytest
from ledger_factory import ledger_in, write
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from records_factory import make_failed, make_pruned, make_record

from mtray.report.records import write_record
from mtray.run_files import JOURNAL


def infeasible(run_dir, job):
    record = make_record(job.number, 0.99, 0.99, job.role, recipe=job.recipe)
    over = {"state": "infeasible", "constraints": {"formality": 0.19, "off_target": -0.5}}
    write_record(run_dir, record.model_copy(update=over))


def within(run_dir, job):
    record = make_record(job.number, 0.6, 0.8, job.role, recipe=job.recipe)
    under = {"constraints": {"formality": -0.1, "off_target": 0.0}}
    write_record(run_dir, record.model_copy(update=under))


def pruned(run_dir, job):
    write_record(run_dir, make_pruned(job.number, job.recipe, (0, 1)))


def failed(run_dir, job):
    write_record(run_dir, make_failed(job.number))


ENDINGS = [write, within, infeasible, pruned, failed]


@pytest.fixture
def run_dir(tmp_path):
    """Five trials, which end in every way there is."""
    ledger = ledger_in(tmp_path)
    for end in ENDINGS:
        job = ledger.next(len(ENDINGS))
        end(tmp_path, job)
        ledger.tell(job.number)
    return tmp_path


def storage_of(run_dir):
    return optuna.storages.JournalStorage(JournalFileBackend(str(run_dir / JOURNAL)))


def asked(app, path, query=""):
    """The answer of a WSGI app to a GET request, as JSON."""
    said = []
    request = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "x",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr,
    }  # fmt: skip
    body = b"".join(app(request, lambda status, headers, error=None: said.append(status)))
    assert said == ["200 OK"], body
    return json.loads(body)


def test_the_dashboard_shows_names_objectives_constraints_and_pruned_trials(run_dir):
    dashboard = pytest.importorskip("optuna_dashboard", reason="needs optuna-dashboard")
    app = dashboard.wsgi(storage_of(run_dir))
    (study,) = asked(app, "/api/studies")["study_summaries"]
    shown = asked(app, f"/api/studies/{study['study_id']}", "after=0")
    assert study["study_name"] == shown["name"] == "made-up"
    assert shown["directions"] == ["maximize", "maximize"]
    assert shown["objective_names"] == ["quality", "retention"]
    waiting, trials = shown["trials"][5:], shown["trials"][:5]
    assert {trial["state"] for trial in waiting} == {"Waiting"}
    states = [trial["state"] for trial in trials]
    assert states == ["Complete", "Complete", "Complete", "Pruned", "Fail"]
    assert [trial["constraints"] for trial in trials] == [[], [-0.1, 0.0], [0.19, -0.5], [], []]
    assert trials[1]["values"] == [0.6, 0.8]
    assert "values" not in trials[3] and "values" not in trials[4]
    notes = [{note["key"]: note["value"] for note in trial["user_attrs"]} for trial in trials]
    assert [note["role"] for note in notes[:2]] == ["parallel_only", "mono_one_to_one"]
    assert notes[3]["reason"] == "rung 2: too bad"
    assert notes[4]["reason"].startswith("TrainError: loss is not finite")
    assert json.loads(notes[2]["over"]) == {"formality": 0.19, "off_target": -0.5}
    names = {param["name"] for param in trials[1]["params"]}
    assert names == {"parallel_size", "mono_ratio", "learning_rate"}


def test_the_same_by_optuna_itself(run_dir):
    study = optuna.load_study(study_name="made-up", storage=storage_of(run_dir))
    assert study.metric_names == ["quality", "retention"]
    ended = [trial.state for trial in study.trials[:5]]
    assert ended == [TrialState.COMPLETE] * 3 + [TrialState.PRUNED, TrialState.FAIL]
    feasible = [all(value <= 0 for value in t.constraints.values()) for t in study.trials[:3]]
    assert feasible == [True, True, False]
    assert study.trials[2].constraints["formality"] == 0.19
