"""The batch script of deploy/ for Slurm: its options, and runs of it with stand-ins."""

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from lint_tools import assert_no_lint

from mtray.sweep_command import parser

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
BATCH = (DEPLOY / "sweep.sbatch").read_text()


def options_of(command):
    """The options of a command of Ray."""
    return {option for param in command.params for option in param.opts}


def test_the_batch_script_uses_options_that_ray_and_mtray_have():
    scripts = pytest.importorskip("ray.scripts.scripts")
    started = re.search(r"start=\((.*?)\)\n", BATCH, re.DOTALL)[1]
    own = options_of(scripts.cli.commands["symmetric-run"])
    known = own | options_of(scripts.cli.commands["start"])
    assert set(re.findall(r"--[\w-]+", started)) <= known and "--min-nodes" in started
    assert set(re.findall(r"--[\w-]+", BATCH.split("ray get-auth-token")[1].split("\n")[0])) <= (
        options_of(scripts.cli.commands["get-auth-token"])
    )
    sweep = re.search(r"exec mtray sweep (.*?) \"\$@\"'", BATCH)[1]
    assert parser().parse_args(shlex.split(sweep)).address == "auto"
    parser().parse_args(["--runs-dir", "runs"])
    example = re.search(r"sbatch deploy/sweep.sbatch (.*)", BATCH)[1]
    assert parser().parse_args(shlex.split(example)).trials == 40
    waited = "RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT"
    assert waited in BATCH
    assert waited in Path(scripts.__file__).with_name("symmetric_run.py").read_text()


def stub(folder, name, text):
    file = folder / name
    file.write_text(f"#!/usr/bin/env bash\n{text}\n")
    file.chmod(0o755)


@pytest.fixture
def slurm(tmp_path):
    """Programs in place of those of a cluster: each notes its arguments, `srun` and `ray` run the
    command that they are given, and the sweep runs until it is asked to stop."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    note = f'echo "$(basename "$0") $*" >> {tmp_path}/calls'
    stub(bin_dir, "scontrol", note)
    stub(bin_dir, "hostname", 'echo "10.0.0.7 fe80::1"')
    after = 'while [[ "$1" != "--" ]]; do shift; done; shift; exec "$@"'
    stub(bin_dir, "ray", f'{note}\nif [[ "$1" == symmetric-run ]]; then {after}; fi')
    stub(bin_dir, "srun", f'{note}\nwhile [[ "$1" != ray ]]; do shift; done; exec "$@"')
    stub(bin_dir, "mtray", f"{note}\ntrap 'exit 143' TERM\n"
         f"touch {tmp_path}/runs-now; [[ -n ${{ENDS:-}} ]] && exit $ENDS\n"
         "while true; do sleep 0.05; done")  # fmt: skip
    variables = {
        "PATH": f"{bin_dir}:{os.environ['PATH']}", "SLURM_JOB_ID": "12345",
        "SLURM_JOB_NUM_NODES": "3", "SLURM_CPUS_PER_TASK": "8", "HOME": str(tmp_path),
    }  # fmt: skip

    def start(**more):
        return subprocess.Popen(
            ["bash", DEPLOY / "sweep.sbatch", "--study", "my study.yaml", "--trials", "4"],
            env=variables | more, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return tmp_path, start


def calls_in(folder):
    return (folder / "calls").read_text().splitlines()


def test_the_batch_script_starts_ray_on_every_node_and_the_sweep_in_it(slurm):
    folder, start = slurm
    assert start(ENDS="0", SLURM_GPUS_PER_TASK="4").wait(30) == 0
    srun = next(c for c in calls_in(folder) if c.startswith("srun "))
    assert "--nodes 3 --ntasks 3 --ntasks-per-node 1 --cpus-per-task 8" in srun
    ray = next(c for c in calls_in(folder) if c.startswith("ray symmetric-run"))
    assert "--address 10.0.0.7:22345 --min-nodes 3 --num-cpus 8" in ray
    assert "--num-gpus 4 -- bash" in ray
    assert "ray get-auth-token --generate" in calls_in(folder)
    sweep = next(c for c in calls_in(folder) if c.startswith("mtray "))
    assert sweep == (
        f"mtray sweep --address auto --page off --runs-dir {folder}/runs "
        "--study my study.yaml --trials 4"
    )
    assert not [c for c in calls_in(folder) if c.startswith("scontrol")]
    assert not [*(folder / "runs").glob(".slurm-*")]


def test_the_exit_code_of_the_sweep_is_that_of_the_job(slurm):
    folder, start = slurm
    assert start(ENDS="2").wait(30) == 2
    ray = next(c for c in calls_in(folder) if c.startswith("ray symmetric-run"))
    assert "--num-gpus" not in ray


def test_shortly_before_the_end_trials_stop_and_the_job_is_queued_again(slurm):
    folder, start = slurm
    job = start()
    until = time.monotonic() + 30
    while not (folder / "runs-now").exists() and time.monotonic() < until:
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    assert job.wait(30) == 143
    assert calls_in(folder)[-1] == "scontrol requeue 12345"


def test_the_batch_script_has_no_lint():
    assert_no_lint("shellcheck", DEPLOY / "sweep.sbatch")
