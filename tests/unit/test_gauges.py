"""What a sweep shows to Prometheus, with a table in the place of Ray's gauges, and the files that
show it."""

import json
import re
from pathlib import Path

import pytest
import yaml
from records_factory import make_failed, make_record, make_rung, make_study

from mtray.search.execution.gauges import GAUGES, SweepGauges
from mtray.search.ledger.live_progress import LiveProgress, RunningTrial

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shown():
    """By name and tags, as Ray checks them."""
    values = {}

    class Gauge:
        def __init__(self, name, description, tag_keys):
            self.name, self.keys = name, tag_keys
            assert re.fullmatch(r"[a-z_]+", name) and description

        def set(self, value, tags):
            assert tags.keys() == set(self.keys), self.name
            values[(self.name, *(tags[k] for k in self.keys))] = value

    values["make"] = Gauge
    return values


def gauges(shown, records=()):
    return SweepGauges("x", make_study(), records, shown.pop("make"))


def test_what_runs_is_shown(shown):
    table = gauges(shown)
    running = RunningTrial(
        number=3, state="training", step=5, steps=9, loss=1.5, tokens_per_second=400.0,
        gpu_memory_bytes=10,
    )  # fmt: skip
    table.progress(LiveProgress(written=0, finished=1, total=8, trials=(running,)))
    assert shown["mtray_trials", "x", "running"] == 1
    assert shown["mtray_trials_planned", "x"] == 8
    found = {name: shown[f"mtray_{name}", "x", "3"] for name in ("loss", "step", "steps")}
    assert found == {"loss": 1.5, "step": 5, "steps": 9}
    assert shown["mtray_tokens_per_second", "x", "3"] == 400.0
    assert shown["mtray_gpu_memory_bytes", "x", "3"] == 10


def test_nothing_is_shown_that_is_not_known(shown):
    table = gauges(shown)
    waits = RunningTrial(number=-1)
    table.progress(LiveProgress(written=0, finished=0, total=8, trials=(waits,)))
    assert {key[0] for key in shown} == {"mtray_trials", "mtray_trials_planned"}


def test_trials_of_earlier_starts_and_of_this_one_are_shown(shown):
    baseline = make_record(0, 0.5, 0.9, "parallel_only", seconds={"training": 3.0, "total": 5.0})
    table = gauges(shown, [make_record(-1, 0.4, 1.0, "base"), baseline])
    before = shown["mtray_hypervolume", "x"]
    ended = make_record(1, 0.6, 0.9).model_copy(update={"rungs": (make_rung(0.5, 0.8, rung=0),)})
    table.ended(ended)
    table.ended(make_failed(2))
    assert shown["mtray_trials", "x", "complete"] == 3
    assert shown["mtray_trials", "x", "failed"] == 1
    assert shown["mtray_objective", "x", "base", "quality", "end"] == 0.4
    assert shown["mtray_objective", "x", "1", "quality", "rung 1"] == 0.5
    assert shown["mtray_objective", "x", "1", "quality", "end"] == 0.6
    assert shown["mtray_phase_seconds", "x", "0", "training"] == 3.0
    assert shown["mtray_hypervolume", "x"] > before


def test_what_ray_forgets_as_it_exports_is_set_again(shown, monkeypatch):
    """Of trials that have ended; what runs is told anew anyway."""
    now = [100.0]
    monkeypatch.setattr("mtray.search.execution.gauges.time.monotonic", lambda: now[0])
    nothing = LiveProgress(written=0, finished=1, total=8)
    table = gauges(shown, [make_record(-1, 0.4, 1.0, "base"), make_record(0, 0.5, 0.9)])
    before = dict(shown)
    table.progress(nothing)
    for seconds, again in ((1.0, False), (5.0, True)):
        now[0] += seconds
        shown.clear()
        table.progress(nothing)
        assert (before.items() <= shown.items()) is again
        assert shown["mtray_trials", "x", "running"] == 0


def test_the_dashboard_and_the_page_name_gauges_that_there_are():
    dashboard = json.loads((ROOT / "docs/assets/grafana-dashboard.json").read_text())
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    named = set(re.findall(r"ray_(mtray_\w+)", " ".join(expressions)))
    assert named <= set(GAUGES) and len(named) >= 7
    page = (ROOT / "docs/monitoring.md").read_text()
    assert set(GAUGES) == set(re.findall(r"`ray_(mtray_\w+)`", page))


def test_the_file_for_prometheus_reads_what_ray_writes():
    found = yaml.safe_load((ROOT / "docs/assets/prometheus.yml").read_text())
    (job,) = found["scrape_configs"]
    (files,) = job["file_sd_configs"]
    assert files["files"] == ["/tmp/ray/prom_metrics_service_discovery.json"]
