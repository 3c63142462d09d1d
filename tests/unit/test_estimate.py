"""What a trial is reckoned to take."""

from types import SimpleNamespace

import pytest
import torch
from records_factory import make_study

from mtray.schema import Recipe, Resources
from mtray.search import estimate


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, 1), (1, 1), (3, 3)])
def test_a_few_steps_tell_the_whole_and_take_a_worker_s_threads(monkeypatch, cpus, threads):
    """12 tokens a second make 240 tokens in 20 s; 10 s for a tenth of the requests, 100 s."""
    seen = []

    def run(job, study, store, requests, how):
        seen.append((torch.get_num_threads(), study.training.max_steps, len(requests), how.engine))
        seconds = {"training": 3.0, "generation": 10.0}
        return SimpleNamespace(training=SimpleNamespace(tokens_per_second=12.0), seconds=seconds)

    monkeypatch.setattr(estimate, "run_trial", run)
    monkeypatch.setattr(estimate, "select", lambda *_: ([], SimpleNamespace(tokens=240)))
    monkeypatch.setattr(estimate, "sums_of", lambda *_: None)
    monkeypatch.setattr(estimate.time, "perf_counter", iter([100.0, 118.0]).__next__)
    study = make_study(resources=Resources(cpus_per_worker=cpus))
    before = torch.get_num_threads()
    suite = SimpleNamespace(requests=list(range(1000)))
    store = {"pairs": SimpleNamespace()}
    found = estimate.seconds_per_trial(study, store, suite, Recipe(parallel_size=5))
    assert found == (7 + (18 - 3 - 10) + 20 + 100, 12.0)
    assert seen == [(threads, 6, 100, "torch")]
    assert torch.get_num_threads() == before
