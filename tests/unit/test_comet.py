"""COMET's scores, which a process of its own computes: those of comet to the last digit, and an
error for every model that cannot be loaded."""

import functools
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comet_itself
import numpy as np
import pytest
from comet_itself import SEGMENTS

from mtray.errors import EvaluationError, ModelError
from mtray.evaluation.metrics.comet import (
    EMBEDDED_NAME,
    CometScorer,
    Scored,
    load_comet,
    loader,
    scorer_of,
)
from mtray.evaluation.metrics.metric_process import MetricProcess, comet_process
from mtray.evaluation.metrics.worker.checkpoint import REACH_SECONDS, sha256
from mtray.metrics_python import metrics_python
from mtray.paths import COMET_MODEL

SOURCES, HYPOTHESES, REFERENCES = (list(column) for column in zip(*SEGMENTS, strict=True))


@pytest.fixture
def scorer() -> CometScorer:
    """The embedded metric, without memory of what other tests asked."""
    return replace(load_comet("embedded"), memory={})


@functools.cache
def computed_by_comet(folder: Path) -> dict[str, list[float]]:
    command = [metrics_python().path, "-I", comet_itself.__file__, str(folder)]
    subprocess.run(command, check=True, capture_output=True, env=comet_environment())
    found: dict[str, list[float]] = json.loads((folder / "scores.json").read_text())
    return found


def comet_environment() -> dict[str, str]:
    """As many threads as this process has, which the last digits may depend on."""
    import torch

    return os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}


@pytest.fixture(scope="session")
def itself(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what comet's own `predict` gives (scores.json) and the model tiny-kiwi."""
    folder = tmp_path_factory.getbasetemp() / "comet-itself"
    folder.mkdir(exist_ok=True)
    computed_by_comet(folder)
    return folder


@pytest.fixture(scope="session")
def reference_free(itself: Path) -> Path:
    """The folder of a small untrained model that sees source and hypothesis only, as CometKiwi."""
    return itself / "tiny-kiwi"


def test_scores_are_those_of_comets_own_predict(scorer: CometScorer, itself: Path) -> None:
    found = scorer.scores(SOURCES, HYPOTHESES, REFERENCES)
    assert found.dtype == np.float64 and found.shape == (len(SEGMENTS),)
    assert found.tolist() == computed_by_comet(itself)["embedded"]


def test_a_model_without_references_is_loaded_and_scored_as_comet_does(
    reference_free: Path, itself: Path
) -> None:
    scorer = load_comet(str(reference_free))
    assert not scorer.references and load_comet("embedded").references
    assert scorer.signature.startswith("tiny-kiwi|") and scorer.signature.endswith("reference:none")
    expected = computed_by_comet(itself)["tiny-kiwi"]
    assert len(set(expected)) > 1
    found = scorer.scores(SOURCES, HYPOTHESES, REFERENCES)
    assert found.tolist() == expected
    others = scorer.scores(SOURCES, HYPOTHESES, [""] * len(SOURCES))
    assert others.tolist() == found.tolist(), "references change nothing"


def test_nothing_of_comet_is_imported_here(scorer: CometScorer) -> None:
    scorer.scores(SOURCES, HYPOTHESES, REFERENCES)
    assert not {"comet", "pytorch_lightning", "torchmetrics"} & set(sys.modules)


def test_texts_longer_than_the_encoder_are_counted(scorer: CometScorer) -> None:
    """The tiny encoder reads 254 tokens; of a text of 400 words the end makes no difference."""
    long = "casa " * 400
    texts = (["s", long, "s", "s"], [long, "h", "h", "h"], ["r", long, long, "r"])
    assert scorer.segment_scores(*texts).truncated == 3
    ends = scorer.scores(["s"] * 2, [long + "bien", long + "mal"], ["r"] * 2)
    assert ends[0] == pytest.approx(ends[1], abs=2e-6), "COMET does not see the end"
    assert scorer.segment_scores(SOURCES, HYPOTHESES, REFERENCES).truncated == 0
    fitting, over = " ".join(["casa"] * 252), " ".join(["casa"] * 253)  # two tokens are special
    assert scorer.max_length == 254 and scorer.truncated([long, "short", fitting, over]) == 2


def test_better_translations_score_higher(scorer: CometScorer) -> None:
    right, wrong, copied, same, less, unrelated, good, bad = scorer.scores(
        SOURCES, HYPOTHESES, REFERENCES
    )
    assert right > wrong > copied and same > less > unrelated and good > bad
    assert min(right, same, good) > 0.8 and max(copied, unrelated) < 0.3


class Counting:
    """A model that notes how many triples it is asked for."""

    def __init__(self, model: Any) -> None:
        self.model, self.asked = model, []

    def score(self, triples: Any) -> Scored:
        self.asked.append(len(triples))
        return self.model.score(triples)


def test_equal_triples_are_scored_once(scorer: CometScorer) -> None:
    counting = Counting(scorer.model)
    scorer = replace(scorer, model=counting)
    order = [0, 3, 0, 0, 5, 3]
    twice = scorer.scores(
        *([column[i] for i in order] for column in (SOURCES, HYPOTHESES, REFERENCES))
    )
    assert counting.asked == [3]
    assert twice[0] == twice[2] == twice[3] and twice[1] == twice[5]
    once = scorer.scores(SOURCES, HYPOTHESES, REFERENCES)
    assert counting.asked == [3, len(SEGMENTS) - 3], "what is known is not asked again"
    assert twice.tolist() == once[order].tolist()
    anew = replace(scorer, memory={}).scores(SOURCES, HYPOTHESES, REFERENCES)
    np.testing.assert_allclose(once, anew, rtol=0, atol=2e-6)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtray.evaluation.metrics.comet.REMEMBERED", 3)
    scorer = CometScorer(Tabulated(0.1, 0.2, 0.3, 0.4), "t")
    assert scorer.scores(["s"] * 2, ["a", "b"], ["r"] * 2).tolist() == [0.1, 0.2]
    assert scorer.scores(["s"] * 2, ["b", "c"], ["r"] * 2).tolist() == [0.2, 0.1]
    assert len(scorer.memory) == 3
    assert scorer.scores(["s"] * 2, ["d", "a"], ["r"] * 2).tolist() == [0.1, 0.1]
    assert [h for _, h, _ in scorer.memory] == ["d"], "what is known when it is full is dropped"
    assert len(scorer.scores(["s"] * 4, list("efgh"), ["r"] * 4)) == 4
    assert not scorer.memory, "a call too large for the memory is not kept"


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_hypothesis_is_never_lucky(scorer: CometScorer, empty: str) -> None:
    found = scorer.scores(SOURCES[:2], [HYPOTHESES[0], empty], REFERENCES[:2])
    assert found[1] == 0.0 < found[0]
    assert scorer.scores(["a"], [empty], ["b"]).tolist() == [0.0]
    assert scorer.scores([], [], []).shape == (0,)


class Tabulated:
    """Stands in for a model: scores in the order asked."""

    def __init__(self, *scores: float) -> None:
        self.table = list(scores)

    def score(self, triples: Any) -> Scored:
        return Scored(self.table[: len(triples)], None)


def test_an_empty_hypothesis_gets_the_lowest_score_where_scores_are_negative() -> None:
    found = CometScorer(Tabulated(-0.4, 0.3), "t").scores(["a"] * 3, ["x", "", "y"], ["r"] * 3)
    assert found.tolist() == [-0.4, -0.4, 0.3]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_errors(bad: float) -> None:
    with pytest.raises(EvaluationError, match="second"):
        CometScorer(Tabulated(0.5, bad), "t").scores(["a", "b"], ["first", "second"], ["c", "d"])


def test_lists_of_unequal_length_are_errors(scorer: CometScorer) -> None:
    with pytest.raises(EvaluationError, match="2 sources, 1 hypotheses and 2 references"):
        scorer.scores(["a", "b"], ["c"], ["d", "e"])


def test_signature_names_metric_version_and_weights(scorer: CometScorer) -> None:
    name, version, weights, empty = scorer.signature.split("|")
    assert name == EMBEDDED_NAME and version == "comet:2.2.7" and empty == "empty:0-or-min"
    assert weights == f"weights:{sha256(COMET_MODEL / 'checkpoints' / 'model.ckpt')[:12]}"


def test_loaded_once_per_process() -> None:
    assert load_comet("embedded") is load_comet("embedded")


def test_a_moved_copy_is_found_from_any_directory(
    scorer: CometScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint and its encoder travel together: nothing in them depends on where they were."""
    copy = tmp_path / "moved-metric"
    shutil.copytree(COMET_MODEL, copy)
    monkeypatch.chdir(tmp_path)
    for name in ("moved-metric", str(copy / "checkpoints" / "model.ckpt")):
        moved = load_comet(name)
        assert moved.signature.startswith("moved-metric|")
        np.testing.assert_array_equal(
            moved.scores(SOURCES, HYPOTHESES, REFERENCES),
            scorer.scores(SOURCES, HYPOTHESES, REFERENCES),
        )


def test_a_fresh_process_elsewhere_is_silent(tmp_path: Path) -> None:
    """Another directory, a Ray Train worker's environment, and not a line of output but ours."""
    code = (
        "import logging, sys, time, warnings\n"
        "from mtray.evaluation.metrics.comet import load_comet\n"
        "assert not {'comet', 'torch', 'transformers'} & set(sys.modules)\n"
        "found = load_comet('embedded').scores(['Hi.'], ['Hola.'], ['Hola.'])\n"
        "assert logging.getLogger().level == logging.WARNING and not logging.getLogger().handlers\n"
        "print(found.shape, end='')\n"
    )
    worker = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    root = str(COMET_MODEL.parents[3])
    env = os.environ | worker | {"PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr, done.returncode) == ("(1,)", "", 0)
    assert list(tmp_path.iterdir()) == []


def test_the_committed_checkpoint_is_plain_small_and_knows_no_place() -> None:
    import torch

    checkpoint = COMET_MODEL / "checkpoints" / "model.ckpt"
    saved = torch.load(checkpoint, weights_only=True)
    assert not {"optimizer_states", "lr_schedulers", "callbacks", "loops"} & set(saved)
    assert saved["hyper_parameters"]["pretrained_model"] == "./encoder"
    files = [path for path in COMET_MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12e6
    texts = [path.read_text() for path in files if path.suffix in (".yaml", ".json", ".md")]
    assert len(texts) >= 5
    for text in texts:
        assert not any(place in text for place in ("/root/", "/home/", "/tmp/"))


def made(folder: Path, hparams: str | None, content: bytes = b"not a checkpoint") -> Path:
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "model.ckpt").write_bytes(content)
    if hparams is not None:
        (folder / "hparams.yaml").write_text(hparams)
    return folder


# an address that refuses at once: no test may depend on whether there is a network
NOWHERE = "http://127.0.0.1:9"
HPARAMS = f"class_identifier: regression_metric\npretrained_model: {COMET_MODEL / 'encoder'}\n"


@pytest.mark.parametrize(
    ("hparams", "reason"),
    [
        (None, "no hparams.yaml"),
        ("a: [", "is not of a COMET model"),
        ("other: 1", "is not of a COMET model"),
        ("- 1", "is not of a COMET model"),
        (HPARAMS.replace("regression_metric", "nonsense"), "nonsense"),
        (HPARAMS, "weights_only"),
        ("a: " + "[" * 5000 + "]" * 5000, "more than 40 levels"),
        ("pretrained_model: {a: 1}", "is not of a COMET model"),
        ("pretrained_model: !!python/name:os.system", "is not of a COMET model"),
    ],
)
def test_what_is_not_a_checkpoint_is_an_error(
    tmp_path: Path, hparams: str | None, reason: str
) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        load_comet(str(made(tmp_path, hparams)))
    assert str(tmp_path) in str(caught.value)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="found none"):
        load_comet(str(tmp_path))


def test_weights_that_are_missing_are_an_error(tmp_path: Path) -> None:
    import torch

    checkpoint = made(tmp_path, HPARAMS) / "checkpoints" / "model.ckpt"
    saved = torch.load(COMET_MODEL / "checkpoints" / "model.ckpt", weights_only=True)
    del saved["state_dict"]["estimator.ff.0.bias"]
    saved["hyper_parameters"]["pretrained_model"] = str(COMET_MODEL / "encoder")
    torch.save(saved, checkpoint)
    with pytest.raises(ModelError, match=r"lacks 1 of .* estimator.ff.0.bias"):
        load_comet(str(tmp_path))


def test_a_link_to_a_checkpoint_keeps_its_place(tmp_path: Path, scorer: CometScorer) -> None:
    """As in the hub's cache, where the file itself lies in a folder of blobs."""
    shutil.copytree(COMET_MODEL, tmp_path / "snapshot")
    link = tmp_path / "snapshot" / "checkpoints" / "model.ckpt"
    link.rename(tmp_path / "blob")
    link.symlink_to(tmp_path / "blob")
    found = load_comet(str(link)).scores(SOURCES, HYPOTHESES, REFERENCES)
    np.testing.assert_array_equal(found, scorer.scores(SOURCES, HYPOTHESES, REFERENCES))


@pytest.fixture(scope="module")
def offline() -> Iterator[MetricProcess]:
    """A process for which the hub is out of reach."""
    process = MetricProcess(comet_process().command, "comet", {"HF_ENDPOINT": NOWHERE})
    yield process
    process.stop()


def test_an_encoder_that_is_nowhere_is_an_error(tmp_path: Path, offline: MetricProcess) -> None:
    """What happens with a downloaded wmt22-comet-da whose encoder's config was never fetched."""
    hparams = "class_identifier: regression_metric\npretrained_model: mtray-test/absent-encoder\n"
    made(tmp_path, hparams)
    with pytest.raises(
        ModelError, match=r"needs the config and tokenizer of .*absent-encoder.*reached"
    ):
        scorer_of(offline, {"model": str(tmp_path), "name": "", "device": "cpu"})


class Trap:
    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (self.folder,))


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    import torch

    sprung = tmp_path / "sprung"
    for content in ("torch", "pickle"):
        folder = tmp_path / content
        folder.mkdir()
        made(folder, HPARAMS, pickle.dumps({"state_dict": Trap(sprung)}, protocol=2))
        if content == "torch":
            content = {"state_dict": {}, "trap": Trap(sprung)}
            torch.save(content, folder / "checkpoints" / "model.ckpt")
        with pytest.raises(ModelError, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
            load_comet(str(folder))
        assert not sprung.exists()


@pytest.mark.parametrize(
    "name", ["no-such-metric", "./missing/folder", "/missing/model.ckpt", "no such name", ""]
)
def test_names_that_are_nothing_are_errors(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="allowed are `embedded`"):
        load_comet(name)


def test_a_hub_name_without_network_fails_in_seconds(offline: MetricProcess) -> None:
    offline.versions()  # started
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"mtray-test/absent.*cannot be reached.*allowed are"):
        scorer_of(offline, {"model": "mtray-test/absent", "name": "", "device": "cpu"})
    assert time.monotonic() - started < 4 * REACH_SECONDS  # with the import of the hub's library


def test_one_model_is_loaded_for_all_names_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver checks on the CPU and then scores on `auto`: the memory is not taken twice."""
    from mtray.evaluation.metrics.worker import serve

    loads: list[str] = []

    def load(model: str, name: str, device: str) -> tuple[Any, dict[str, Any]]:
        loads.append(device)
        return SimpleNamespace(gpus=serve.gpus_of(device)), {"device": device}

    monkeypatch.setattr(serve, "load", load)
    monkeypatch.setattr(serve, "gpus_of", {"cpu": 0, "auto": 0, "gpu": 1}.__getitem__)
    server = serve.Server()
    for device in ("cpu", "auto", "gpu", "cpu"):
        answer = server.answer({"do": "load", "model": "m", "name": "n", "device": device})
        assert "error" not in answer
    assert loads == ["cpu", "gpu"]


def test_the_device_is_the_one_asked_for() -> None:
    import torch

    assert loader("auto").keywords == {"device": "auto", "long": "truncate"}
    assert load_comet("embedded").device == "cpu"
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ModelError, match="is gpu, but the process that scores"):
        load_comet("embedded", "gpu")
