"""Kept outputs by other metrics: figures, their place in the run, and what is said of mistakes."""

import hashlib
import json

import numpy as np
import pytest
from kept_outputs_factory import REFERENCES, RESAMPLES, SEED, answers, make_run
from records_factory import make_record
from sacrebleu.metrics import CHRF

from mtray.analysis.resampling_units import shared_units
from mtray.analysis.uncertainty import difference, score
from mtray.cli import main
from mtray.commands import rescore
from mtray.evaluation.directions import build_direction, measure_direction
from mtray.evaluation.metrics import quality
from mtray.evaluation.output_files import read_outputs
from mtray.report.records import write_record
from mtray.run_files import trial_dir
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space

SPACE = Space(parameters={"mono_ratio": FloatRange(type="float", low=0, high=2)})
UNITS = shared_units([list(zip(*REFERENCES.values(), strict=True))])[0]


class WordComet:
    """Words of the hypothesis, by the name of a model that has a curve of agreement."""

    signature = "Unbabel/wmt22-comet-da|comet:2.2.7|weights:0|empty:0-or-min"

    def scores(self, sources, hypotheses, references):
        return np.array([len(h.split()) / 100 for h in hypotheses])


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    monkeypatch.setattr(rescore, "load_comet", lambda name, device, long: WordComet())
    return make_run(tmp_path)


def run(*argv):
    return main([str(a) for a in argv])


def contents(folder, name):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob(name)}


def rescored(folder, number):
    return json.loads((trial_dir(folder, number) / "rescored.json").read_text())["scores"]


def test_scores_are_those_of_the_metric_and_differences_are_paired(run_dir, capsys):
    results = contents(run_dir, "result.json")
    assert run("rescore", run_dir, "--metrics", "chrf,chrf++") == 0
    assert contents(run_dir, "result.json") == results
    texts = {n: [o.text for o in answers("en-uk", d)] for n, d in {-1: 3, 2: 1, 3: 0}.items()}
    for name, order in (("chrf", 0), ("chrf++", 2)):
        for number, hypotheses in texts.items():
            metric = CHRF(word_order=order)
            expected = metric.corpus_score(hypotheses, [REFERENCES["en-uk"]]).score
            assert rescored(run_dir, number)[f"{name}.en-uk"]["score"]["value"] == expected
    # of the same sentences in both directions, so their units are known by their texts
    a, b = (quality.chrf(texts[n], REFERENCES["en-uk"], UNITS) for n in (2, -1))
    entry = rescored(run_dir, 2)["chrf.en-uk"]
    assert entry["score"] == score(a, RESAMPLES, SEED).model_dump()
    assert entry["difference"] == difference(a, b, RESAMPLES, SEED).model_dump()
    assert "difference" not in rescored(run_dir, -1)["chrf.en-uk"]
    parts = [rescored(run_dir, 2)[f"chrf.{d}"]["difference"]["value"] for d in REFERENCES]
    mean = rescored(run_dir, 2)["chrf.mean"]
    assert mean["difference"]["value"] == pytest.approx(sum(parts) / 2)
    assert mean["agreement"] > 0.5 and rescored(run_dir, 2)["chrf++.mean"]["agreement"] is None
    out = capsys.readouterr().out
    assert "chrf++.uk-en  (CHRF|" in out and "no outputs are kept of: 4" in out
    assert "human raters agree with" in out.split("chrf.en-uk")[1].split("chrf++")[0]
    assert "human" not in out.split("chrf++.en-uk")[1].split("chrf.")[0]
    assert "note: abilities are not measured again. As recorded: Retention is the weighted" in out


def test_another_model_is_put_beside_what_is_there(run_dir, capsys):
    assert run("rescore", run_dir, "--metrics", "bleu", "--trials", "3") == 0
    assert not (trial_dir(run_dir, 2) / "rescored.json").exists()
    assert run("rescore", run_dir, "--comet", "any", "--trials", "2,3") == 0
    assert set(rescored(run_dir, 2)) == {f"wmt22-comet-da.{d}" for d in [*REFERENCES, "mean"]}
    found = rescored(run_dir, 3)
    assert {"bleu.en-uk", "wmt22-comet-da.en-uk"} <= set(found)
    # the base model drops three words of ten of the thirty segments
    assert found["wmt22-comet-da.en-uk"]["difference"]["value"] == pytest.approx(0.01)
    assert found["wmt22-comet-da.en-uk"]["agreement"] == pytest.approx(0.909, abs=0.001)
    assert "about 91% of cases (COMET22)" in capsys.readouterr().out


def test_the_front_can_be_named(run_dir):
    assert run("rescore", run_dir, "--metrics", "comet", "--trials", "front") == 0
    assert list(rescored(run_dir, -1)) == ["comet.en-uk", "comet.uk-en", "comet.mean"]


def test_a_value_that_is_not_the_recorded_one_is_pointed_out(run_dir, capsys):
    direction = build_direction(rescore.load_bound(run_dir)[0].evaluation.quality[0], "labels", 64)
    measured = measure_direction(direction, answers("en-uk", 1), ["chrf"], {})["chrf"]
    old = make_record(2)
    right = score(measured, RESAMPLES, SEED)
    for value, said in ((right, False), (right.model_copy(update={"value": 40.0}), True)):
        write_record(run_dir, old.model_copy(update={"scores": {"chrf.en-uk": value}}))
        assert run("rescore", run_dir, "--metrics", "chrf") == 0
        assert ("no longer as recorded: chrf.en-uk of 2" in capsys.readouterr().out) is said


def test_without_the_base_model_there_is_no_difference(run_dir, capsys):
    (trial_dir(run_dir, -1) / "outputs.parquet").unlink()
    assert run("rescore", run_dir, "--metrics", "chrf") == 0
    assert "difference" not in rescored(run_dir, 2)["chrf.en-uk"]
    assert "there are no differences" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to measure; give --metrics or --comet"),
        (["--metrics", "bleurt"], "--metrics: unknown metric 'bleurt'; allowed: comet, bleu, chrf"),
        (["--metrics", "bleu", "--trials", "5"], "trial 5 is failed, not complete"),
        (["--metrics", "bleu", "--trials", "9"], "trial 9 has no record; records there: base, 2"),
        (["--metrics", "bleu", "--trials", "x"], "expected a trial's number or base, found 'x'"),
        (["--metrics", "bleu", "--trials", "4"], ""),
    ],
)
def test_mistakes(run_dir, capsys, options, message):
    if "4" in options:  # the base model's outputs are still there
        assert run("rescore", run_dir, *options) == 0
        return
    assert run("rescore", run_dir, *options) == 2
    assert message in capsys.readouterr().err
    assert not list(run_dir.rglob("rescored.json"))


def test_damage_is_named(run_dir, capsys):
    file = trial_dir(run_dir, 2) / "rescored.json"
    file.write_text("[]")
    assert run("rescore", run_dir, "--metrics", "bleu") == 2
    assert f"{file}: not written by `rescore`" in capsys.readouterr().err
    for path in run_dir.rglob("outputs.parquet"):
        path.unlink()
    assert run("rescore", run_dir, "--metrics", "bleu") == 2
    assert "none of the trials has kept its outputs" in capsys.readouterr().err


def test_outputs_of_another_set_are_refused(run_dir, capsys):
    study = rescore.load_bound(run_dir)[0]
    fewer = study.evaluation.quality[0].model_copy(update={"size": 20})
    direction = build_direction(fewer, study.template, 64)
    path = trial_dir(run_dir, 2) / "outputs.parquet"
    with pytest.raises(Exception, match="30 outputs, but the study asks 20 requests"):
        read_outputs(path, direction.requests, ["quality.en-uk"])
