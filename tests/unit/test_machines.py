"""What machines do to a sweep and to the commands: one table a kind of fault."""

import errno
import fcntl
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from records_factory import make_record, make_study
from rich.console import Console

from mtray.cli_errors import report_errors
from mtray.commands import doctor_ray
from mtray.control_group import memory_limit
from mtray.errors import ConfigError, KilledForMemory, RunError, WorkerLost
from mtray.file_locks import lock
from mtray.paths import ROOT, cache_dir
from mtray.report.columnar_files import csv_bytes
from mtray.report.compare import _verdict
from mtray.report.console import new_console
from mtray.report.differences import Difference
from mtray.report.printing import print_lines
from mtray.report.records import write_record
from mtray.search.execution import memory_kills, nodes, process_limit, ray_connection, ray_folder
from mtray.search.execution.memory_kills import MemoryKills, kills
from mtray.search.execution.ray_environment import of_workers
from mtray.search.execution.session import finish
from mtray.search.execution.tuner import StopOnSignal
from mtray.search.ledger.moved_files import relocate
from mtray.search.ledger.run_folder import bind, check_bound, locked
from mtray.search.ledger.trial_failures import classify
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space
from mtray.streams import LastingStream, PrintableStream, entry_streams, json_text, printable
from mtray.sweep_command import arguments, parser

SPACE = Space(parameters={"mono_ratio": FloatRange(type="float", low=0, high=2)})

# text as a record or a name may hold it, and as it is shown
SHOWN = [
    ("plain ä ї\tand\nlines", "plain ä ї\tand\nlines"),
    ("\x1b[2Jgone", "\\x1b[2Jgone"),
    ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    ("over\rwritten", "over\\x0dwritten"),
    ("\x9b31m", "\\x9b31m"),
    ("\x7f\x00", "\\x7f\\x00"),
]


@pytest.mark.parametrize("text, shown", SHOWN)
def test_a_terminal_obeys_no_text(text, shown, monkeypatch, capsys):
    assert printable(text) == shown
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", PrintableStream(out))
    print(text)
    assert out.getvalue() == f"{shown}\n"
    print_lines([text], new_console(width=200))
    assert printable(out.getvalue()) == out.getvalue()
    with report_errors():
        raise ConfigError(text)
    assert capsys.readouterr().err == f"error: {shown}\n"


@pytest.mark.parametrize("text, shown", SHOWN)
def test_json_stays_json(text, shown):
    for encoding in ("utf-8", "ascii"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        written = json_text({"a": text}, stream)
        assert json.loads(written) == {"a": text}
        assert written == printable(written)
        stream.write(written)


def test_styles_of_a_terminal_are_kept(monkeypatch):
    monkeypatch.setattr(sys, "stdout", PrintableStream(out := io.StringIO()))
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = new_console(force_terminal=True, color_system="standard", width=80)
    console.print("[bold]a[/bold]\x1b[2J", highlight=False)
    assert out.getvalue() == "\x1b[1ma\x1b[0m\\x1b[2J\n"


ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
DOORS = [
    ["-m", "mtray", "status", "runs/ö"],
    ["sweeps/ratio_search.py", "--study", "ö.yaml"],
    ["-c", "from mtray.streams import *\nwith entry_streams(): print(chr(0xF6), chr(0xDCC3))"],
]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door[0])
def test_an_ascii_console(door):
    done = subprocess.run(
        [sys.executable, *door],
        cwd=ROOT, env={**os.environ, **ASCII}, capture_output=True, timeout=120,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr
    said = done.stdout + done.stderr
    assert (said.isascii() and b"\\x" in said) or b"\\udc" in said


def test_boxes_of_an_ascii_console_are_ascii(monkeypatch):
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", raw)
    with entry_streams():
        assert new_console().encoding == "ascii"
        print("±")
    raw.flush()
    assert raw.buffer.getvalue() == b"\\xb1\n"


class Gone:
    """A stream whose other end fails with this error."""

    encoding, errors = "utf-8", "strict"

    def __init__(self, number, handle):
        self._number, self.handle = number, handle

    def fileno(self):
        return self.handle

    def write(self, text):
        raise OSError(self._number, os.strerror(self._number))

    flush = write


@pytest.mark.parametrize(
    "number, ends", [(errno.EPIPE, False), (errno.EIO, False), (errno.ENOSPC, True)]
)
def test_a_sweep_outlives_its_output(number, ends, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", err := io.StringIO())
    with open(tmp_path / "out", "w") as file:
        stream = LastingStream(Gone(number, file.fileno()), "closed ({})")
        if ends:
            with pytest.raises(OSError):
                stream.write("a")
            return
        stream.write("a")
        assert os.readlink(f"/proc/self/fd/{file.fileno()}") == os.devnull
    assert err.getvalue() == f"closed ({os.strerror(number)})\n"


def test_both_ends_may_be_closed(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with entry_streams(goes_on=True):
        print("a")
        print("b", file=sys.stderr)


@pytest.mark.parametrize(
    "number, before, taken",
    [
        (signal.SIGTERM, signal.SIG_DFL, True),
        (signal.SIGHUP, signal.SIG_DFL, True),
        (signal.SIGHUP, signal.SIG_IGN, False),  # nohup
    ],
)
def test_signals_that_stop_a_sweep(number, before, taken):
    said = []
    limits = SimpleNamespace(stop=said.append)
    progress = SimpleNamespace(stop=SimpleNamespace(remote=lambda: None))
    old = signal.signal(number, before)
    try:
        with StopOnSignal(limits, progress, said.append) as stop:
            os.kill(os.getpid(), number)
            assert stop.received == (number if taken else None)
        assert signal.getsignal(number) is before
    finally:
        signal.signal(number, old)


def test_a_signal_that_comes_twice_within_a_second_is_one(monkeypatch):
    """It was sent to all processes of a job, and passed on by the one that started the sweep."""
    said, ended = [], []
    progress = SimpleNamespace(stop=SimpleNamespace(remote=lambda: None))
    clock = SimpleNamespace(monotonic=iter([10.0, 10.5, 12.0, 12.0, 12.0]).__next__)
    monkeypatch.setattr("mtray.search.execution.tuner.time", clock)
    monkeypatch.setattr("mtray.search.execution.tuner.os._exit", ended.append)
    stop = StopOnSignal(SimpleNamespace(stop=lambda _: None), progress, said.append)
    for expected in ([], [], [143]):
        stop._handle(signal.SIGTERM, None)
        assert ended == expected
    stop._handle(signal.SIGINT, None)
    assert ended == [143, 130], "Ctrl-C twice ends at once, however soon"


def test_what_ray_starts_ignores_the_terminal():
    shown = [sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGHUP))"]
    before = signal.getsignal(signal.SIGHUP)
    with ray_connection._ignored(signal.SIGHUP):
        inside = subprocess.run(shown, capture_output=True, text=True).stdout
    assert int(inside) == signal.SIG_IGN and signal.getsignal(signal.SIGHUP) == before


NUMBERS = [
    [option, value]
    for option in ("--max-minutes", "--settle")
    for value in ("nan", "inf", "-inf", "NaN", "1e999", "x")
]


@pytest.mark.parametrize("given", NUMBERS, ids=" ".join)
def test_a_number_is_finite(given, capsys):
    with pytest.raises(SystemExit) as ended:
        arguments(["=".join(given)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"argument {given[0]}: expected a finite number, found '{given[1]}'" in said


CELLS = [
    ("=1+1", "'=1+1"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("+1+cmd|x", "'+1+cmd|x"),
    ("-2+3", "'-2+3"),
    ("\t=1", "'\t=1"),
    ("-1", "-1"),
    (-0.5, "-0.5"),
    ("a=b", "a=b"),
    (None, ""),
]


@pytest.mark.parametrize("cell, written", CELLS)
def test_a_spreadsheet_runs_no_cell(cell, written):
    assert csv_bytes([{"a": cell, "b": 0}]).decode() == f"a,b\n{written},0\n"
    if isinstance(cell, str):
        assert csv_bytes([{cell: 0, "b": 0}]).decode() == f"{written},b\n0,0\n"


@pytest.mark.parametrize(
    "name, gap, low, verdict",
    [
        ("quality", 0.1, 0.05, "better"),
        ("quality", 0.1, -0.05, "within noise"),
        ("cost.seconds", 0.1, 0.1, "no interval"),
        ("cost.device_hours", 0.1, 0.05, "cheaper"),
        ("cost.device_hours", 0.1, -0.05, "within noise"),
        ("cost.seconds", -0.1, -0.1, "not better"),
    ],
)
def test_nothing_is_beyond_noise_by_its_cost(name, gap, low, verdict):
    assert _verdict(name, Difference(gap, low, gap)) == verdict


# sockets


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.parametrize(
    "length, short", [(32, False), (33, True), (90, True)], ids=["fits", "one too long", "long"]
)
def test_sockets_of_ray_have_short_paths(monkeypatch, variable, length, short):
    """A path of 32 bytes, a slash and Ray's 74 are 107."""
    assert len(ray_folder.SOCKET) == 74
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    folder = Path("/tmp") / f"mtray{os.getpid()}"
    folder = folder.with_name(folder.name.ljust(length - len("/tmp/"), "x"))
    folder.mkdir()
    try:
        monkeypatch.setenv(variable, str(folder))
        found = ray_folder.session_folder()
        assert found.path == (Path("/tmp") if short else folder)
        assert bool(found.note) == short
        (finding,) = doctor_ray.ray_files()
        assert finding.level == ("note" if short else "ok")
    finally:
        folder.rmdir()


def test_no_folder_for_sockets_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "none"))
    with pytest.raises(RunError, match=r"RAY_TMPDIR .*none: is no folder that can be written"):
        ray_folder.session_folder(tmp_path / "neither")


def test_a_runs_folder_that_ray_deletes_is_refused(monkeypatch, tmp_path):
    """That of a job which was submitted with a working directory and a relative path."""
    copy = tmp_path / "ray/session_1/runtime_resources/working_dir_files/_ray_pkg_0123"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    for inside in (Path("runs"), copy):
        with pytest.raises(ConfigError, match=r"--runs-dir .*Ray deletes .*absolute path"):
            ray_folder.check_lasting(inside)
    ray_folder.check_lasting(tmp_path / "runs")


@pytest.mark.parametrize("home", ["missing", "read", "unset"])
def test_the_token_needs_no_home(monkeypatch, tmp_path, home):
    for name in ray_folder.TOKEN_VARIABLES:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("MTRAY_CACHE", str(tmp_path / "a b"))
    monkeypatch.setattr(ray_folder, "_home_is_writable", lambda: home == "read")
    ray_folder.keep_token()
    kept = os.environ["RAY_AUTH_TOKEN_PATH"]
    if home == "read":
        assert kept == "" and ray_folder.token_command() == "ray get-auth-token"
        return
    assert Path(kept).stat().st_mode & 0o777 == 0o600 and len(Path(kept).read_text()) == 64
    assert ray_folder.token_command() == f"cat '{kept}'"


@pytest.mark.parametrize("home, writable", [("/dev/null/x", False), ("", None)])
def test_a_home_that_is_none(monkeypatch, home, writable):
    monkeypatch.setenv("HOME", home or "/tmp")
    assert ray_folder._home_is_writable() is (writable is None)


def test_a_user_without_a_home_is_told_of_the_cache(monkeypatch):
    monkeypatch.delenv("MTRAY_CACHE", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: Path("~/.cache") / name)
    with pytest.raises(ConfigError, match="set MTRAY_CACHE"):
        cache_dir()


@pytest.mark.parametrize(
    "number, path, said",
    [
        (errno.EROFS, "{cache}/store", "set MTRAY_CACHE to a folder you own"),
        (errno.EACCES, "{above}", "set MTRAY_CACHE to a folder you own"),
        (errno.EACCES, "/elsewhere/runs", "choose a folder you may write to"),
        (errno.ENOTDIR, "/dev/null/x", "choose a folder you may write to"),
    ],
)
def test_a_place_that_cannot_be_written(number, path, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MTRAY_CACHE", str(tmp_path / "home/cache"))
    path = path.format(cache=tmp_path / "home/cache", above=tmp_path / "home")
    with report_errors() as outcome:
        raise OSError(number, os.strerror(number), path)
    err = capsys.readouterr().err
    assert outcome.code == 2 and err.startswith(f"error: {path}: cannot be read") and said in err


# the kernel's limits


def made_root(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


KILLS = {
    "version 2": {
        "proc/self/cgroup": "0::/user/scope\n",
        "sys/fs/cgroup/user/scope/memory.events": "low 0\nhigh 9\noom 5\noom_kill {n}\n",
        "sys/fs/cgroup/user/scope/memory.max": "4294967296\n",
    },
    "version 2 in a container": {
        "proc/self/cgroup": "0::/outside\n",
        "sys/fs/cgroup/memory.events": "oom 5\noom_kill {n}\noom_group_kill 8\n",
        "sys/fs/cgroup/memory.max": "4294967296\n",
    },
    "version 1": {
        "proc/self/cgroup": "7:blkio:/\n4:cpu,memory:/mine\n0::/\n",
        "sys/fs/cgroup/memory/mine/memory.oom_control": "under_oom 0\noom_kill {n}\n",
        "sys/fs/cgroup/memory/mine/memory.limit_in_bytes": "4294967296\n",
    },
    "no group": {"proc/vmstat": "nr_free 5\noom_kill {n}\n"},
    "nothing": {},
}


@pytest.mark.parametrize("where", KILLS)
def test_the_limit_of_memory_is_read(tmp_path, where):
    root = made_root(tmp_path, KILLS[where])
    assert memory_limit(root) == (None if where in ("no group", "nothing") else 1 << 32)


def test_the_tightest_limit_counts(tmp_path):
    """That of a scope may be wider than that of the container around it."""
    files = {
        "proc/self/cgroup": "0::/user/scope\n",
        "sys/fs/cgroup/user/scope/memory.max": "8589934592\n",
        "sys/fs/cgroup/memory.max": "4294967296\n",
    }
    assert memory_limit(made_root(tmp_path, files)) == 1 << 32
    unlimited = {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/user/scope/memory.max": "max"}
    assert memory_limit(made_root(tmp_path, files | unlimited)) is None


@pytest.mark.parametrize("where", KILLS)
def test_kills_by_the_kernel_are_counted(tmp_path, where):
    def write(count):
        made_root(tmp_path, {n: t.replace("{n}", str(count)) for n, t in KILLS[where].items()})

    write(3)
    seen = 0 if where == "nothing" else 3
    assert kills(tmp_path) == seen
    watch = MemoryKills(tmp_path)
    assert not watch.recent(), "those before the sweep are none of its own"
    write(4)
    assert watch.recent() is bool(seen)
    limited = "version" in where
    assert ("memory of 4 GB was" in watch.reason("a worker")) is limited
    assert "lower `resources.concurrent_trials`" in watch.reason("a worker")


@pytest.mark.parametrize(
    "since, error, reason_class",
    [(1.0, KilledForMemory, "out_of_memory"), (31.0, WorkerLost, "worker_lost")],
)
def test_a_worker_that_the_kernel_killed(monkeypatch, tmp_path, since, error, reason_class):
    """The class counts its further attempt, at half the tokens per batch."""
    made_root(tmp_path, {"proc/vmstat": "oom_kill 0\n"})
    clock = [100.0]
    monkeypatch.setattr(memory_kills.time, "monotonic", lambda: clock[0])
    watch = MemoryKills(tmp_path)
    monkeypatch.setattr(nodes, "WATCH", watch)
    monkeypatch.setattr(nodes, "alive_nodes", lambda: {"here"})
    made_root(tmp_path, {"proc/vmstat": "oom_kill 1\n"})
    watch.look()
    clock[0] += since
    found = nodes.lost_error("a worker ended", {"here"})
    assert type(found) is error and classify(found) == reason_class


PIDS = "sys/fs/cgroup/pids/mine/pids."
LIMITS = [("max", 100, "ok"), ("100000", 100, "ok"), ("300", 290, "MISSING"), ("700", 400, "note")]


@pytest.mark.parametrize("most, used, level", LIMITS)
def test_few_processes_are_said(monkeypatch, tmp_path, most, used, level):
    root = made_root(
        tmp_path,
        {"proc/self/cgroup": "8:pids:/mine\n", f"{PIDS}max": most, f"{PIDS}current": str(used)},
    )
    monkeypatch.setattr(process_limit.resource, "getrlimit", lambda _: (-1, -1))
    monkeypatch.setattr(process_limit.os, "cpu_count", lambda: 2)
    assert process_limit.wanted() == 440
    found = process_limit.process_limit(root)
    monkeypatch.setattr(doctor_ray, "process_limit", lambda: found)
    (finding,) = doctor_ray.processes()
    assert finding.level == level
    if level == "MISSING":
        with pytest.raises(RunError, match=r"300 processes and threads \(290 in use\).*raise it"):
            process_limit.check_processes(root)
    else:
        assert bool(process_limit.check_processes(root)) is (level == "note")


def test_the_limit_of_a_user_counts_threads(monkeypatch, tmp_path):
    monkeypatch.setattr(process_limit.resource, "getrlimit", lambda _: (50, 50))
    monkeypatch.setattr(process_limit.os, "getuid", lambda: tmp_path.stat().st_uid or 1)
    monkeypatch.setattr(process_limit, "_threads_of", lambda user, root: 7)
    assert process_limit.process_limit(tmp_path).left == 43
    for task in ("1", "2"):
        (tmp_path / "proc/12/task" / task).mkdir(parents=True)
    monkeypatch.undo()
    assert process_limit._threads_of(tmp_path.stat().st_uid, tmp_path) == 2


# locks


@pytest.mark.parametrize(
    "number, error, said",
    [
        (errno.EWOULDBLOCK, RunError, "is in use by another process"),
        (errno.ENOLCK, ConfigError, "has no locks"),
        (errno.ENOSYS, ConfigError, "has no locks"),
        (errno.EOPNOTSUPP, ConfigError, "has no locks"),
    ],
)
def test_a_file_system_without_locks_is_not_in_use(monkeypatch, tmp_path, number, error, said):
    def refused(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(error, match=said), locked(tmp_path):
        pass


def test_a_lock_is_taken(tmp_path):
    with open(tmp_path / "a", "w") as first, open(tmp_path / "a") as second:
        lock(first, fcntl.LOCK_EX | fcntl.LOCK_NB, tmp_path)
        with pytest.raises(BlockingIOError):
            lock(second, fcntl.LOCK_EX | fcntl.LOCK_NB, tmp_path)


def test_a_run_that_is_only_readable_is_not_locked(tmp_path):
    """`test` keeps what it measures there; a folder in place of the file fails for root, too."""
    (tmp_path / ".lock").mkdir()
    with pytest.raises(ConfigError, match=r"cannot be written .*copy the run"), locked(tmp_path):
        pass


# clusters


class Ray(SimpleNamespace):
    """What `start_ray` uses of Ray."""

    def init(self, **given):
        self.given = given
        self.environment = dict(os.environ)
        return SimpleNamespace(address_info={"gcs_address": "h:1"}, dashboard_url="h:8265")

    def cluster_resources(self):
        return self.resources

    def shutdown(self):
        self.ended = True


@pytest.mark.parametrize("resources, private", [({"CPU": 2}, False), ({"mtray_sweep": 1}, True)])
def test_which_cluster_is_joined(monkeypatch, resources, private):
    monkeypatch.setitem(sys.modules, "ray", ray := Ray(resources=resources, ended=False))
    if private:
        with pytest.raises(RunError, match=r"h:1.* was started by another sweep for itself"):
            ray_connection.start_ray("auto")
        assert ray.ended
        return
    context = ray_connection.start_ray("auto")
    assert "resources" not in ray.given
    lines = ray_connection.cluster_lines(context.address_info, context.dashboard_url, "auto")
    assert lines[0] == "joined the Ray cluster at h:1"


def test_the_own_cluster_is_marked_and_its_files_are_short(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", ray := Ray(resources={}))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(ray_folder, "_problem", lambda f: "" if f == Path("/tmp") else "long")
    context = ray_connection.start_ray(None)
    assert ray.given["resources"] == {"mtray_sweep": 1} and ray.given["_temp_dir"] == "/tmp/ray"
    assert ray.environment["TMPDIR"] == "/tmp" and os.environ["TMPDIR"] == str(tmp_path)
    lines = ray_connection.cluster_lines(context.address_info, context.dashboard_url, None)
    assert "joined" not in lines[0]


@pytest.mark.parametrize("token", [True, False])
@pytest.mark.parametrize(
    "dashboard, here, expected",
    [
        ("127.0.0.1:8266", "10.0.0.1", "Ray dashboard: http://127.0.0.1:8266"),
        ("10.0.0.1:8265", "10.0.0.2", "Ray dashboard: http://10.0.0.1:8265"),
        ("127.0.0.1:8266", "10.0.0.2", "Ray dashboard: http://127.0.0.1:8266 on 10.0.0.1 (from "
         "here: ssh -L 8266:127.0.0.1:8266 10.0.0.1)"),
        ("", "10.0.0.2", "this Ray cluster has no dashboard"),
    ],
)  # fmt: skip
def test_where_the_dashboard_is(monkeypatch, dashboard, here, expected, token):
    monkeypatch.setenv("RAY_AUTH_MODE", "token" if token else "disabled")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    addresses = {"gcs_address": "10.0.0.1:6379", "node_ip_address": here}
    line = ray_connection.cluster_lines(addresses, dashboard, "auto")[-1]
    assert line == expected + ("  (token: ray get-auth-token)" if token and dashboard else "")


JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def test_variables_of_a_job_stay_the_jobs(monkeypatch):
    """Ray refuses to set them again, with a ValueError."""
    ours = {"TOKENIZERS_PARALLELISM": "true", "PYTHONPATH": "/job", "MORE": "1"}
    monkeypatch.setenv(JOB, json.dumps({"runtime_env": {"env_vars": ours}}))
    found = of_workers()
    assert not found.keys() & ours.keys() and found["RAY_TRAIN_V2_ENABLED"] == "1"


@pytest.mark.parametrize("text", ["{", "[]", '{"runtime_env": null}', "{}"])
def test_a_job_without_variables(monkeypatch, text):
    monkeypatch.setenv(JOB, text)
    assert "TOKENIZERS_PARALLELISM" in of_workers()


def test_a_job_that_wants_another_ray_train_is_refused(monkeypatch):
    given = {"runtime_env": {"env_vars": {"RAY_TRAIN_V2_ENABLED": "0"}}}
    monkeypatch.setenv(JOB, json.dumps(given))
    with pytest.raises(RunError, match=r"sets RAY_TRAIN_V2_ENABLED='0', and a sweep needs '1'"):
        of_workers()


@pytest.mark.parametrize("text", ["s3://bucket/runs", "gs://x", "file:///x"])
def test_an_address_is_no_runs_folder(text, capsys):
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["--runs-dir", text])
    assert caught.value.code == 2 and f"found '{text}'" in capsys.readouterr().err
    assert parser().parse_args(["--runs-dir", "a/s3:b"]).runs_dir == Path("a/s3:b")


def test_workers_import_the_code_of_this_checkout(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/other", str(ROOT)]))
    assert of_workers()["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "/other"]


@pytest.mark.parametrize("cwd", ["elsewhere", "another checkout"])
def test_the_main_job_runs_its_own_checkout(tmp_path, cwd):
    """A copy of the main job, away from the code that is installed."""
    own = tmp_path / "own"
    for folder in (own, tmp_path / "another checkout"):
        (folder / "mtray").mkdir(parents=True)
        (folder / "mtray/__init__.py").touch()
        (folder / "mtray/sweep_command.py").write_text(f"def main(): print({folder.name!r})")
    (own / "sweeps").mkdir()
    job = own / "sweeps/ratio_search.py"
    job.write_text((ROOT / "sweeps/ratio_search.py").read_text())
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run([sys.executable, job], cwd=tmp_path / cwd, capture_output=True, text=True)
    assert done.stdout == "own\n"


# results


@pytest.mark.parametrize(
    "states, code",
    [([], 1), (["base"], 1), (["base", "failed"], 1), (["base", "complete"], 0)],
    ids=["nothing", "base", "failed", "one"],
)
def test_a_sweep_without_a_complete_trial_is_no_success(tmp_path, states, code):
    study = make_study()
    for number, state in enumerate(states, start=-1):
        if state == "base":
            write_record(tmp_path, make_record(-1, 0.5, 1.0, "base"))
        else:
            write_record(tmp_path, make_record(number, 0.6, 0.9, state=state))
    out = io.StringIO()
    assert finish(tmp_path, study, SPACE, Console(file=out, width=200)) == code
    assert ("no trial is complete" in out.getvalue()) is bool(code)


# moved files


def moved_study(folder: Path):
    (folder / "data").mkdir(parents=True)
    (folder / "data/pairs.tsv").write_text("en\tuk\na\tb\n")
    (folder / "data/dev.tsv").write_text("en\tuk\nc\td\n")
    fields = make_study().model_dump(mode="json")
    fields["sources"][0]["path"] = str(folder / "data/pairs.tsv")
    fields["evaluation"]["quality"][0]["path"] = str(folder / "data/dev.tsv")
    fields["filters"] = {"leakage": None, "shots_leakage": None}
    return type(make_study()).model_validate(fields)


@pytest.mark.parametrize("changed", ["", "pairs.tsv", "dev.tsv"])
def test_a_run_follows_files_that_were_moved(tmp_path, changed):
    old, run_dir = moved_study(tmp_path / "old"), tmp_path / "run"
    run_dir.mkdir()
    bind(run_dir, old, SPACE)
    new = moved_study(tmp_path / "new")
    if changed:
        (tmp_path / "new/data" / changed).write_text("en\tuk\nother\ttext\n")
    lines = relocate(run_dir, new)
    assert len(lines) == (1 if changed else 2)
    assert all("moved, with the same content: " in line for line in lines)
    if changed:
        with pytest.raises(RunError, match="path = "):
            check_bound(run_dir, new, SPACE)
        return
    check_bound(run_dir, new, SPACE)
    assert relocate(run_dir, new) == []


def test_a_file_that_is_gone_is_not_the_same(tmp_path):
    old, run_dir = moved_study(tmp_path / "old"), tmp_path / "run"
    run_dir.mkdir()
    (tmp_path / "old/data/pairs.tsv").unlink()
    bind(run_dir, old, SPACE)
    new = moved_study(tmp_path / "new")
    (tmp_path / "new/data/pairs.tsv").unlink()
    assert len(relocate(run_dir, new)) == 1, "the evaluation set alone"
