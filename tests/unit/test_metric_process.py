"""A process that scores: what it is asked and answers, and every way in which it can fail."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import fake_metric_values
import pytest

from mtray.errors import EvaluationError, MetricOutOfMemory, ModelError
from mtray.evaluation.metrics import child_process, metric_process
from mtray.evaluation.metrics.comet import CometScorer, ProcessModel, scorer_of
from mtray.evaluation.metrics.metric_process import MetricProcess, memory_to_spare

FAKE = Path(__file__).with_name("fake_metric.py")
ROOT = Path(__file__).resolve().parents[2]
SEGMENTS = [["s", "short", "r"], ["s", "h", "r"]]


@pytest.fixture
def process_of(tmp_path):
    """Makes a process that misbehaves in a given way; all are ended after the test."""
    made = []

    def make(mode, idle=300.0):
        command = [sys.executable, str(FAKE), mode, str(tmp_path / "starts")]
        made.append(MetricProcess(command, "fake", idle=idle))
        return made[-1]

    yield make
    for process in made:
        process.stop()


def starts(tmp_path):
    return [int(line) for line in (tmp_path / "starts").read_text().split()]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]


def ends_within(seconds, pid):
    until = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_alive(pid)


def test_a_process_is_started_at_need_and_kept(process_of, tmp_path):
    process = process_of("well")
    assert process.pid is None and not (tmp_path / "starts").exists()
    assert process.load({})["signature"] == "fake|1"
    assert process.score({}, SEGMENTS)["truncated"] == ["h", ""]
    assert process.count({}, ["12345", "1234", ""]) == 1
    assert process.versions() == {"fake": "7"}
    assert starts(tmp_path) == [process.pid]


def test_doubles_arrive_as_they_were_sent(process_of):
    model = ProcessModel(process_of("well"), {})
    found = model.score([(str(i), "h", "r") for i in range(len(fake_metric_values.VALUES))])
    assert list(map(float.hex, found.scores)) == list(map(float.hex, fake_metric_values.VALUES))


def test_text_of_any_kind_and_size_arrives(process_of):
    """More than a pipe holds, in both directions, half a surrogate pair, line breaks."""
    texts = [["\ud83d", "a\nb\r\u2028", "x" * 40] for _ in range(20_000)]
    assert len(process_of("well").score({}, texts)["scores"]) == 20_000


@pytest.mark.parametrize(
    ("mode", "error", "message"),
    [
        ("ends at once", ModelError, r"^fake: it ended with status 3; it wrote last: no such mod"),
        ("other version", ModelError, r"^fake: it speaks version 2 of the protocol, and this mtra"),
        ("cannot load", ModelError, r"^fake: no such model; name another$"),
        ("cannot score", EvaluationError, r"^fake: the judge refused$"),
        ("needs more memory", MetricOutOfMemory, r"^fake: out of memory$"),
        ("dies", EvaluationError, r"^fake: twice it was killed by SIGKILL \(memory may have run "
         r"out\); it wrote last: first the disk \| then the memory$"),
        ("prints", EvaluationError, r"^fake: 'Loading weights: 100 %' on its standard output, whi"),
        ("answers another request", EvaluationError, r"^fake: .*on its standard output"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said(process_of, tmp_path, mode, error, message):
    with pytest.raises(error, match=message):
        process_of(mode).score({}, SEGMENTS)
    assert len(starts(tmp_path)) == (2 if mode == "dies" else 1)


def test_a_batch_is_asked_again_of_a_new_process(process_of, tmp_path):
    process = process_of("dies once")
    assert len(process.score({}, SEGMENTS)["scores"]) == 2
    assert len(starts(tmp_path)) == 2 and process.pid == starts(tmp_path)[1]


def test_a_command_that_is_nowhere_is_an_error():
    with pytest.raises(ModelError, match=r"^gone: cannot be started: .*no-such-program"):
        MetricProcess(["/no-such-program"], "gone").load({})


def test_a_process_that_hangs_is_ended(process_of, tmp_path, monkeypatch):
    monkeypatch.setattr(metric_process, "SCORE_SECONDS", 0.3)
    monkeypatch.setattr(metric_process, "SEGMENT_SECONDS", 0.1)
    process = process_of("hangs")
    with pytest.raises(
        EvaluationError, match=r"^fake: no answer to `score` within 0 s; it wrote last: waiting"
    ):
        process.score({}, SEGMENTS)
    assert process.pid is None and ends_within(2, starts(tmp_path)[0])
    assert len(starts(tmp_path)) == 1, "no second wait"


def test_a_process_that_says_nothing_is_ended(process_of, monkeypatch):
    monkeypatch.setattr(child_process, "START_SECONDS", 0.3)
    with pytest.raises(ModelError, match=r"^fake: it has not said hello within 0 s"):
        process_of("says hello late").load({})


def test_an_interrupted_request_is_not_answered_later(process_of, tmp_path, monkeypatch):
    process = process_of("well")
    process.load({})

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(child_process.Child, "_answer", interrupt)
        with pytest.raises(KeyboardInterrupt):
            process.score({}, SEGMENTS)
    assert len(process.score({}, SEGMENTS * 2)["scores"]) == 4
    assert len(starts(tmp_path)) == 2


def test_an_idle_process_is_ended_and_started_again(process_of, tmp_path):
    process = process_of("well", idle=0.2)
    process.load({})
    assert ends_within(5, starts(tmp_path)[0]) and process.pid is None
    assert len(process.score({}, SEGMENTS)["scores"]) == 2, "loaded again before it scores"
    assert len(starts(tmp_path)) == 2


@pytest.mark.parametrize(
    ("device", "spare", "stays"),
    [("cpu", True, True), ("cpu", False, False), ("gpu", True, False), (None, True, False)],
)
def test_an_idle_process_stays_where_memory_is_to_spare(
    process_of, monkeypatch, device, spare, stays
):
    """On the CPU alone: what a metric that does not name its device holds is not known."""
    monkeypatch.setattr("mtray.evaluation.metrics.metric_process.memory_to_spare", lambda: spare)
    process = process_of("well", idle=600.0)
    process.load({})
    [found] = process._child.loaded.values()
    found["device"] = device
    process._when_idle()
    assert (process.pid is not None) == stays
    assert not stays or process._timer.is_alive(), "it is looked at again"
    process.stop()


@pytest.mark.parametrize(
    ("available", "limit", "expected"),
    [(60, None, True), (40, None, False), (60, 90, False), (60, 100, True)],
)
def test_half_of_the_memory_is_to_spare(monkeypatch, available, limit, expected):
    memory = SimpleNamespace(total=100, available=available)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    monkeypatch.setattr("mtray.evaluation.metrics.metric_process.memory_limit", lambda: limit)
    assert memory_to_spare() is expected


def test_a_process_killed_between_requests_is_started_again(process_of, tmp_path):
    process = process_of("well")
    process.load({})
    os.kill(process.pid, signal.SIGKILL)
    assert len(process.score({}, SEGMENTS)["scores"]) == 2
    assert len(starts(tmp_path)) == 2


def test_it_ends_with_a_parent_that_was_killed(tmp_path):
    code = (
        "import sys, time\n"
        "from mtray.evaluation.metrics.metric_process import MetricProcess\n"
        f"process = MetricProcess([sys.executable, {str(FAKE)!r}, 'well', sys.argv[1]], 'fake')\n"
        "process.load({})\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "starts")]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, env=env)
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.communicate()
    assert ends_within(5, pid)


def test_after_a_fork_the_child_has_a_process_of_its_own(process_of, tmp_path):
    process = process_of("well")
    process.load({})
    before = process.pid
    if not (child := os.fork()):
        found = process.score({}, SEGMENTS)["scores"]
        fresh = process.pid != before
        process.stop()
        os._exit(0 if fresh and len(found) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert process.pid == before and len(process.score({}, SEGMENTS)["scores"]) == 2


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("too few", r"^fake: its answer has 1 scores for 2 segments$"),
        ("not finite", r"^fake\|1\|command: the score of \('s', 'short', 'r'\) is nan$"),
    ],
)
def test_scores_that_are_none_are_errors(process_of, mode, message):
    scorer = scorer_of(process_of(mode), {}, "|command")
    with pytest.raises(EvaluationError, match=message):
        scorer.scores(["s"] * 2, ["short", "h"], ["r"] * 2)


def test_a_load_that_is_answered_wrongly_is_an_error(process_of):
    with pytest.raises(ModelError, match=r"^fake: its answer to `load` must have 'signature'"):
        scorer_of(process_of("loads wrongly"), {})


def test_a_scorer_counts_what_was_cut(process_of):
    scorer = scorer_of(process_of("well"), {})
    assert isinstance(scorer, CometScorer) and scorer.max_length == 4 and scorer.empty is None
    for _ in range(2):  # the second time from memory
        found = scorer.segment_scores(["s"] * 3, ["short", "h", "short"], ["r"] * 3)
        assert found.truncated == 2, "of three segments, two of them equal"
    assert scorer.truncated(["12345", "1"]) == 1


def test_variables_of_distributed_training_stay_here(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("HF_HOME", "/hub")
    found = metric_process.environment()
    assert "RANK" not in found and found["HF_HOME"] == "/hub"
