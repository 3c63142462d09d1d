"""A metric of another process, without a cluster."""

from types import SimpleNamespace

import pytest

from mtray.evaluation.metrics import comet, metric_process
from mtray.search.execution import shared_metric

ABOUT = {"model": "x", "name": "n", "device": "auto"}
ANSWER = {"signature": "n|v", "max_length": 7, "device": "gpu"}


class Process:
    """In the place of the metric's."""

    asked = 0

    def load(self, model):
        return {**ANSWER, "model": model["model"]}

    def score(self, model, segments):
        Process.asked += 1
        return {"scores": [float(len(texts[1])) for texts in segments]}

    def count(self, model, texts):
        return sum(len(text) > 7 for text in texts)


@pytest.fixture
def actor(monkeypatch):
    monkeypatch.setattr("ray.get", lambda found: found)
    monkeypatch.setattr(metric_process, "comet_process", Process)
    monkeypatch.setattr(metric_process, "command_process", lambda command, name: Process())
    ask = shared_metric.MetricActor().ask
    found = SimpleNamespace(ask=SimpleNamespace(remote=ask))
    shared_metric.score_there(found)
    yield found
    metric_process.score_elsewhere(None)


def test_a_trial_has_the_shared_process_score(actor):
    scorer = comet.scorer_of(metric_process.comet_scoring(), ABOUT)
    assert (scorer.signature, scorer.device, scorer.max_length) == ("n|v", "gpu", 7)
    assert list(scorer.scores(["a", "b"], ["xy", "xyz"], ["r", "r"])) == [2.0, 3.0]
    assert scorer.truncated(["short", "longer than that"]) == 1


def test_so_do_the_studys_own_metrics(actor):
    scoring = metric_process.command_scoring(("run", "me"), "mine")
    assert "mine" in scoring.what and scoring.command == ("run", "me")
    assert scoring.score(ABOUT, [("s", "h", "r")]) == {"scores": [1.0]}


def test_without_it_a_process_has_its_own(actor):
    metric_process.score_elsewhere(None)
    assert isinstance(metric_process.comet_scoring(), Process)


def test_none_is_started_where_none_is_wanted():
    from records_factory import make_study

    assert shared_metric.start_metric(make_study(), [], "run") == (None, "")
