"""Console output of a running sweep: a live table on a terminal, plain lines elsewhere; and its
progress, for `status`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from mtray.report.abilities import ability_sentences, ability_sets
from mtray.report.parameters import parameter_text, parameters
from mtray.report.printing import duration_text
from mtray.report.tables import score_text, varied_parameters
from mtray.run_files import BASE_NUMBER, trial_name
from mtray.schema import Recipe, TrialRecord
from mtray.search.execution.ray_connection import stay_connected_for
from mtray.search.ledger.live_progress import EVERY, LiveProgress, running_trial
from mtray.trial.job import Job

SHORT = {"parallel_size": "parallel", "mono_ratio": "mono", "replay_fraction": "replay",
         "frozen_layers": "frozen", "learning_rate": "lr"}  # fmt: skip


def recipe_text(recipe: Recipe) -> str:
    """A recipe in one short line."""
    if not recipe.parallel_size:
        return "base model, untouched"
    values = parameters(recipe)
    return " ".join(
        f"{SHORT.get(k, k)} {parameter_text(values[k])}"
        for k in varied_parameters([values])
        if values[k] is not None
    )


def _repeats(trial: Job | TrialRecord) -> str:
    return f" (trial {trial.of} with another seed)" if trial.replicate else ""


def _attempted(record: TrialRecord) -> str:
    """The failed attempts, such as ` (attempts before: out of memory, again at half the
    micro-batch)`."""
    lost = record.extra.get("attempts") or ()
    ends = [f"{a['reason_class']}, {a['then']}".replace("_", " ") for a in lost]
    return f" (attempts before: {'; '.join(ends)})" if ends else ""


def _logs(record: TrialRecord) -> str:
    """Where the workers of a failed trial ran, and what they printed; empty if it did not fail."""
    places = record.extra.get("workers") or ()
    texts = [
        f"worker {p['rank']} on {p['host']}, process {p['process']}: {p['log']}" for p in places
    ]
    return f"; {'; '.join(texts)}" if record.state == "failed" and texts else ""


def say(console: Console, text: str) -> None:
    """Print a plain line, neither wrapped nor parsed as markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveTable:
    """Prints which trials start and end; on a terminal also a table that is redrawn every second.

    - `publish`: takes the sweep's progress every few seconds.
    - `ending`: whether no further trial starts, so that there is no time left to estimate.
    - `count`: takes the record of every trial that has ended.
    """

    def __init__(
        self,
        console: Console,
        total: int,
        finished: int,
        concurrent: int,
        publish: Callable[[LiveProgress], None] = lambda found: None,
        ending: Callable[[], bool] = lambda: False,
        count: Callable[[TrialRecord], None] = lambda record: None,
    ) -> None:
        self._console, self._total, self._concurrent = console, total, concurrent
        self._publish, self._ending, self._count = publish, ending, count
        self._done, self._already = 0, finished
        self._started = time.monotonic()
        self._jobs: dict[int, Job] = {}
        self._snapshot: dict[int, dict[str, Any]] = {}
        self._retries: dict[tuple[int, str], str] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._progress_actor: Any = None
        self._thread: threading.Thread | None = None

    def started(self, job: Job) -> None:
        with self._lock:
            self._jobs[job.number] = job
        if not self._console.is_terminal:
            name = f"{trial_name(job.number)}{_repeats(job)}"
            self.say(f"{self._clock()} trial {name} started: {recipe_text(job.recipe)}")

    def ended(self, record: TrialRecord) -> None:
        with self._lock:
            self._jobs.pop(record.number, None)
            self._done += record.number != BASE_NUMBER
        seconds = duration_text(record.total_seconds)
        if (waited := record.seconds.get("waiting", 0.0)) >= 1:
            seconds += f" (waited {duration_text(waited)})"
        if record.state == "complete":
            found = "  ".join(f"{k} {score_text(s)}" for k, s in record.objectives.items())
        elif record.state == "pruned":
            found = f"PRUNED at {record.reason}"
        elif record.state == "stopped":
            found = f"STOPPED {(record.reason or '').removeprefix('stopped ')}"
        else:
            found = f"{record.state.upper()} {record.reason}{_logs(record)}"
        self._count(record)
        role = "" if record.role == "search" else f" ({record.role})"
        role += _repeats(record) + _attempted(record)
        self.say(
            f"{self._clock()} trial {trial_name(record.number)}{role} {found}  {seconds}  "
            f"{recipe_text(record.recipe)}  [{self._already + self._done}/{self._total}] "
            f"{self._left()}".rstrip()
        )
        if record.number == BASE_NUMBER:
            for sentence in ability_sentences(ability_sets([record])):
                self.say(f"{self._clock()} {sentence}")

    def lost(self, number: int, reason: str) -> None:
        with self._lock:
            self._jobs.pop(number, None)
        self.say(f"{self._clock()} trial {trial_name(number)} runs again: {reason}")

    def running(self) -> list[int]:
        """The numbers of the trials that run."""
        with self._lock:
            return list(self._jobs)

    def set_total(self, total: int) -> None:
        self._total = total

    def say(self, text: str) -> None:
        say(self._console, text)

    def _clock(self) -> str:
        return time.strftime("%H:%M:%S")

    def _left(self) -> str:
        seconds = self._seconds_left()
        return "" if seconds is None else f"about {duration_text(seconds)} left"

    def _seconds_left(self) -> float | None:
        """Estimated from the mean pace so far."""
        missing = self._total - self._already - self._done
        if not self._done or missing <= 0 or self._ending():
            return None
        return missing * (time.monotonic() - self._started) / self._done

    def progress(self) -> LiveProgress:
        """The running trials, as the progress actor last knew them."""
        with self._lock:
            numbers, snapshot = list(self._jobs), dict(self._snapshot)
        return LiveProgress(
            written=time.time(), finished=self._already + self._done, total=self._total,
            seconds_left=self._seconds_left(),
            trials=tuple(running_trial(n, snapshot.get(n, {}), len(numbers)) for n in numbers),
        )  # fmt: skip

    def table(self) -> Table:
        """The running trials."""
        title = f"{self._already + self._done} of {self._total} trials finished"
        left = self._left()
        table = Table(
            title=f"{title}, {left}" if left else title, title_justify="left", expand=False
        )
        for column in ("trial", "recipe", "state", "step", "tokens/s", "loss", "for"):
            table.add_column(column, justify="left" if column in ("recipe", "state") else "right")
        with self._lock:
            jobs, snapshot = list(self._jobs.values()), dict(self._snapshot)
        for job in jobs:
            entry = snapshot.get(job.number, {})
            step = f"{entry['step']}/{entry['steps']}" if "step" in entry else ""
            speed = f"{entry['tokens_per_second']:,.0f}" if "tokens_per_second" in entry else ""
            loss = f"{entry['loss']:.3f}" if "loss" in entry else ""
            since = duration_text(time.time() - entry["since"]) if "since" in entry else ""
            state = escape(str(entry.get("state", "starting")))
            name, recipe = trial_name(job.number), recipe_text(job.recipe)
            table.add_row(name, recipe, state, step, speed, loss, since)
        return table

    def start(self, progress_actor: Any) -> None:
        self._progress_actor = progress_actor
        self._thread = threading.Thread(target=self._watch, daemon=True, name="progress")
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread:
            self._thread.join(timeout=5)
            stay_connected_for([self._thread])

    def _watch(self) -> None:
        if not self._console.is_terminal:
            self._follow(EVERY, lambda: None)
            return
        with Live(
            self.table(), console=self._console, refresh_per_second=2, transient=True
        ) as live:
            self._follow(1.0, lambda: live.update(self.table()))

    def _follow(self, every: float, redraw: Callable[[], None]) -> None:
        self._publish(self.progress())
        while not self._over.wait(every):
            self._look()
            self._publish(self.progress())
            redraw()

    def _look(self) -> None:
        import ray

        with suppress(ray.exceptions.RayError):  # a slow progress actor only makes the table stale
            self._snapshot = ray.get(self._progress_actor.snapshot.remote(), timeout=5)
            self.say_retries()

    def say_retries(self) -> None:
        """Print which trials try again, each time once."""
        for number, entry in self._snapshot.items():
            for key, does in (("retry", "tries again"), ("moved", "moves")):
                text = entry.get(key, "")
                if text and self._retries.get((number, key)) != text:
                    self.say(f"{self._clock()} trial {trial_name(number)} {does}: {text}")
                    self._retries[number, key] = text
