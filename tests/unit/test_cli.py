"""The command line: exit codes, messages, and a run that is looked at in every state."""

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from fresh_process import modules_after
from records_factory import (
    make_baselines,
    make_failed,
    make_record,
    make_score,
    make_study,
    with_left_out,
)

from mtray.cli import main
from mtray.report.records import read_record, write_record
from mtray.run_files import JOURNAL, result_path
from mtray.schema import Budget
from mtray.search.ledger.ledger import Ledger
from mtray.search.ledger.run_folder import bind, locked
from mtray.search.strategy.samplers import space_filling
from mtray.search_space.parameters import FloatRange, IntRange
from mtray.search_space.space import Space

SPACE = Space(
    parameters={
        "parallel_size": IntRange(type="int", low=100, high=2000, log=True),
        "mono_ratio": FloatRange(type="float", low=0, high=2),
    }
)


@pytest.fixture
def run_dir(tmp_path):
    """A sweep in the middle: baselines and a trial finished, one failed, two dispatched and not
    finished, one of them given back."""
    study = make_study(budget=Budget(trials=9), sampler="random")
    folder = tmp_path / "runs/mine"
    folder.mkdir(parents=True)
    (folder / ".lock").touch()
    bind(folder, study, SPACE)
    ledger = Ledger(folder, study, SPACE)
    jobs = [ledger.next(9) for _ in range(6)]
    records = [*make_baselines(), make_record(2, 0.66, 0.7), make_failed(3)]
    for record in records:
        write_record(folder, record)
        ledger.tell(record.number)
    ledger.release(jobs[5].number)
    ledger._study.enqueue(space_filling(SPACE.distributions(), 1, seed=9)[0], {"role": "search"})
    return folder


def contents(folder: Path) -> dict[str, str]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def run(*argv) -> int:
    return main([str(a) for a in argv])


def test_status_counts_trials_by_state_and_changes_nothing(run_dir, capsys):
    before = contents(run_dir)
    assert run("status", run_dir) == 0
    out = capsys.readouterr().out
    assert "trials: 3 complete, 1 failed of 9 asked for; 1 already planned" in out
    assert "interrupted: 4, 5; the same command runs them again" in out
    assert "failed: trial 3: TrainError: loss is not finite" in out
    assert "infeasible" not in out and "wrong" not in out
    assert (
        "9 trials: 1 baseline (parallel_only), 5 recipes searched, 2 repeats (one of "
        "parallel_only, at the start), 1 confirmation of the recommended recipe; plus"
    ) in out
    assert "best quality: 0.660 [0.650, 0.670] (trial 2)" in out
    assert "best retention: 1.000 [1.000, 1.000] (the base model)" in out
    assert "no sweep is running" in out and "base model: measured" in out
    assert contents(run_dir) == before


def test_points_at_other_alphas_are_shown_and_are_no_trials(run_dir, capsys):
    half = read_record(result_path(run_dir, 2)).recipe.model_copy(update={"reversion_alpha": 0.5})
    write_record(run_dir, make_record(1_000_002, 0.63, 0.9, recipe=half, trained_as=2))
    assert run("status", run_dir) == 0
    out = capsys.readouterr().out
    assert "trials: 3 complete, 1 failed of 9 asked for" in out
    assert "reverted: 1 points of trained models at other alphas" in out
    assert run("export", run_dir, "--out", run_dir / "x") == 0
    rows = list(csv.DictReader((run_dir / "x" / "front.csv").open()))
    found = {row["number"]: row for row in rows}
    assert (found["1000002"]["reversion_alpha"], found["2"]["reversion_alpha"]) == ("0.5", "1.0")
    assert found["1000002"]["on_front"] == "True"
    front = json.loads((run_dir / "x" / "front.json").read_text())
    (point,) = [p for p in front["points"] if p["number"] == 1_000_002]
    assert point["command"].endswith(" 1000002") and point["recipe"]["reversion_alpha"] == 0.5


def test_intermediate_checkpoints_are_shown_beside_points_at_other_alphas(run_dir, capsys):
    recipe = read_record(result_path(run_dir, 2)).recipe
    for number, change in ((1_000_002, {"reversion_alpha": 0.5}), (2_000_002, {"stop_after": 0.25}),
                           (3_000_002, {"stop_after": 0.5})):  # fmt: skip
        changed = recipe.model_copy(update=change)
        write_record(run_dir, make_record(number, 0.63, 0.9, recipe=changed, trained_as=2))
    assert run("status", run_dir) == 0
    out = capsys.readouterr().out
    assert "reverted: 1 points of trained models at other alphas\n" in out
    assert "intermediate checkpoints: 2 points\n" in out
    assert "trials: 3 complete, 1 failed of 9 asked for" in out
    assert run("export", run_dir, "--out", run_dir / "x") == 0
    rows = list(csv.DictReader((run_dir / "x" / "front.csv").open()))
    found = {row["number"]: row["stop_after"] for row in rows}
    assert (found["2000002"], found["1000002"], found["2"]) == ("0.25", "1.0", "1.0")


def test_status_tells_what_was_refused_from_what_failed(run_dir, capsys):
    refused = {"state": "infeasible", "reason": "DataError: source 'pairs' holds 3 examples"}
    write_record(run_dir, make_failed(4).model_copy(update=refused))
    assert run("status", run_dir) == 0
    out = capsys.readouterr().out
    assert "3 complete, 1 infeasible, 1 failed of 9" in out
    assert f"infeasible: trial 4: {refused['reason']}" in out


def test_status_of_a_run_that_another_process_works_on(run_dir, capsys):
    with locked(run_dir):
        assert run("status", run_dir) == 0
    out = capsys.readouterr().out
    assert "a sweep is running (process " in out
    assert "running: 4, 5" in out and "interrupted" not in out


def test_a_record_that_the_journal_does_not_know_yet_counts(run_dir, capsys):
    write_record(run_dir, make_record(4, 0.7, 0.5))
    assert run("status", run_dir) == 0
    out = capsys.readouterr().out
    assert "trials: 4 complete" in out and "interrupted: 5;" in out


DAMAGE = {
    "record cut short": ("trials/0002/result.json", lambda b: b[:100], "trials/0002/result.json: "),
    "record of another shape": ("trials/0000/result.json", lambda b: b"{}", "0000/result.json: "),
    "journal line": (JOURNAL, lambda b: b.replace(b'"op_code":4', b'"op_c', 1), "line 3 cannot be"),
    "journal in binary": (JOURNAL, lambda b: b"\xff\x00\n" * 3, "line 1 cannot be read (3 in all)"),
    "study": ("study.json", lambda b: b"[]", "study.json: not the study of a run"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_status_names_what_is_damaged_and_shows_the_rest(run_dir, capsys, name):
    file, damage, message = DAMAGE[name]
    (run_dir / file).write_bytes(damage((run_dir / file).read_bytes()))
    before = contents(run_dir)
    assert run("status", run_dir) == 1
    out = capsys.readouterr().out
    assert "damaged: " in out and message in out
    assert "trial 3: TrainError" in out and "trials: " in out
    assert contents(run_dir) == before


def test_the_half_line_of_a_killed_process_is_no_damage(run_dir, capsys):
    with open(run_dir / JOURNAL, "ab") as journal:
        journal.write(b'{"op_code": 6, "worker')
    before = contents(run_dir)
    assert run("status", run_dir) == 0
    assert "interrupted: 4, 5" in capsys.readouterr().out
    assert contents(run_dir) == before


def test_status_of_a_run_that_has_only_begun(tmp_path, capsys):
    bind(tmp_path, make_study(), SPACE)
    assert run("status", tmp_path) == 0
    out = capsys.readouterr().out
    assert "trials: 0 complete, 0 failed" in out and "base model: not measured yet" in out


def test_a_name_alone_is_a_run_in_runs(run_dir, tmp_path, capsys, monkeypatch):
    """Also where a folder of that name is something else."""
    monkeypatch.chdir(tmp_path)
    assert run("status", "mine") == 0
    assert "base model: measured" in capsys.readouterr().out
    (tmp_path / "mine").mkdir()
    assert run("front", "mine") == 0
    assert run("status", "other") == 2
    assert "other: no such run folder; runs there: runs/mine" in capsys.readouterr().err


def test_front_prints_and_writes_nothing(run_dir, capsys):
    before = contents(run_dir)
    assert run("front", run_dir) == 0
    out = capsys.readouterr().out
    assert "knee" in out and "+0.240 [" in out and f"python -m mtray export {run_dir}" in out
    assert contents(run_dir) == before


def test_export_writes_the_five_files(run_dir, tmp_path, capsys):
    assert run("export", run_dir, "--out", tmp_path / "new/folder") == 0
    written = sorted(p.name for p in (tmp_path / "new/folder").iterdir())
    assert written == [f"front.{e}" for e in ("csv", "html", "json", "parquet", "png")]
    assert not (run_dir / "front.csv").exists()
    assert run("export", run_dir) == 0
    assert (run_dir / "front.csv").read_bytes() == (tmp_path / "new/folder/front.csv").read_bytes()


MISTAKES = {
    "no such run": (["status", "{tmp}/none"], "{tmp}/none: no such run folder"),
    "names the runs there are": (["front", "{tmp}/runs/x"], "runs there: {tmp}/runs/mine"),
    "not a run": (["export", "{tmp}/runs"], "{tmp}/runs: not a run folder (no study.json)"),
    "export into a file": (
        ["export", "{run}", "--out", "{run}/study.json"], "study.json: cannot be written",
    ),
    "no such trial": (
        ["rerun", "{run}", "77"], "trial 77 has no record; records there: base, 0, 1, 2, 3",
    ),
    "no number": (["rerun", "{run}", "two"], "expected a trial's number or base, found 'two'"),
    "a long number": (["rerun", "{run}", "9" * 5000], "expected a trial's number or base, found"),
    "negative seed": (["rerun", "{run}", "2", "--seed", "-1"], "--seed: expected 0 or more"),
    "rerun into a file": (
        ["rerun", "{run}", "2", "--out", "{run}/study.json"], "study.json: cannot be created",
    ),
    "study not there": (["check", "--study", "{tmp}/no.yaml"], "{tmp}/no.yaml: no such file"),
    "space not there": (["check", "--space", "{tmp}/no.yaml"], "{tmp}/no.yaml: no such file"),
    "unknown key": (["check", "--study", "{bad}"], "bad.yaml: unknown key modle; allowed here: "),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_with_2_and_a_message(run_dir, tmp_path, capsys, monkeypatch, name):
    monkeypatch.setattr("mtray.embedded.corpora.prepare", lambda: tmp_path)
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\nmodle: y\n")
    places = {"tmp": tmp_path, "run": run_dir, "bad": bad}
    argv, message = MISTAKES[name]
    before = contents(run_dir)
    assert run(*(a.format(**places) for a in argv)) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and message.format(**places) in err
    assert "Traceback" not in err and out == ""
    assert contents(run_dir) == before


def test_a_damaged_record_stops_the_front_and_is_named(run_dir, capsys):
    result_path(run_dir, 2).write_text("{")
    assert run("front", run_dir) == 2
    assert "trials/0002/result.json" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--debug", "status"], ["status", "--debug"]])
def test_debug_gives_the_traceback(tmp_path, argv):
    from mtray.errors import RunError

    with pytest.raises(RunError, match="no such run folder"):
        run(*argv, tmp_path / "none")


@pytest.mark.parametrize("argv", [["frond"], ["status"], ["rerun", "x"], ["check", "--studdy"]])
def test_a_wrong_command_line_is_a_2_of_argparse(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2 and "usage: python -m mtray" in capsys.readouterr().err


def test_help_names_every_command_and_imports_nothing_heavy(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for command in ("check", "status", "front", "export", "rerun", "doctor"):
        assert f"\n    {command} " in shown
    help_only = "import mtray.cli\ntry: mtray.cli.main(['--help'])\nexcept SystemExit: pass"
    imported = modules_after(help_only)
    heavy = {"ray", "torch", "optuna", "numpy", "pydantic", "pyarrow", "transformers", "rich"}
    assert "argparse" in imported and not heavy & imported


def test_a_reader_that_stops_early_is_no_error(run_dir):
    program = "import sys; from mtray.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "status", str(run_dir)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141


def test_rerun_prints_both_results_and_writes_a_record(run_dir, capsys, monkeypatch):
    """The training itself runs in tests/integration; here it is replaced by its outcome."""
    from mtray.commands import rerun

    seen = {}
    suite = SimpleNamespace(parts=(), requests=(), directions=())
    monkeypatch.setattr(rerun, "load_suite", lambda study: (None, suite))
    monkeypatch.setattr(rerun, "read_outputs", lambda path, requests, parts: "the base model's")
    monkeypatch.setattr(rerun, "recorded_sources", lambda study, record, job, tokenizer: {})
    monkeypatch.setattr(rerun, "train", lambda *_, divergence: FakeOutcome())
    monkeypatch.setattr(rerun, "write_outputs", lambda *a: None)

    def scored(job, study, suite, outcome, base):
        seen["job"], seen["base"] = job, base
        return make_record(job.number, 0.68, 0.65, versions={"torch": "3.0"}), {}

    monkeypatch.setattr(rerun, "record_trial", scored)
    assert run("rerun", run_dir, 2, "--seed", 5) == 0
    out = capsys.readouterr().out
    assert seen["job"].seed == 5 and seen["job"].recipe.parallel_size == 2000
    assert seen["base"] == "the base model's"
    assert "quality" in out and "0.660 [0.650, 0.670]  0.680 [0.670, 0.690]  +0.0200" in out
    assert "note: torch was 2.13.0, is 3.0" in out
    record = json.loads((run_dir / "reruns/2-seed5/result.json").read_text())
    assert record["number"] == 2 and record["seconds"]["total"] >= 0
    assert run("rerun", run_dir, "base") == 0
    assert seen["base"] is None and (run_dir / "reruns/base-seed1/result.json").is_file()


class FakeOutcome:
    outputs = ()


def test_a_rerun_shows_what_is_not_measured_any_more_and_says_why():
    from mtray.commands.rerun import side_by_side

    both = {"retention.a": make_score(0.5), "retention.b": make_score(0.25)}
    old = make_record(2, scores=both)
    lines = side_by_side(old, with_left_out(old, b="it is weak"))
    row = next(line for line in lines if line.startswith("retention.b"))
    assert row.split() == ["retention.b", "0.250", "[0.240,", "0.260]", "-"]
    assert lines[-1] == (
        "note: Retention as recorded and now average different abilities and are not comparable: "
        "as recorded it is the weighted mean over a, b; now it is the weighted mean over a, "
        "without b, since it is weak."
    )
