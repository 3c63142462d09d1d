"""Which of what is recorded of a training predicts the losses."""

import re

import numpy as np
import pytest
from records_factory import make_record

from mtray.report.causes import Causes, cause_lines, causes
from mtray.report.evidence import Evidence
from mtray.schema import Recipe, TrainingRecord

N = 12
KL = np.array([0.01, 0.4, 0.03, 0.2, 0.9, 0.05, 0.1, 0.7, 0.02, 0.3, 1.5, 0.15])
MPD = KL[::-1]
LOSS = -0.1 * np.log(KL / 0.01)
WEAK = LOSS + 0.25 * np.random.default_rng(4).normal(size=N)


def record(number, trained_as=None, des=None, **changes):
    training = TrainingRecord(**{
        "steps": 3, "tokens": 600, "tokens_per_second": 9.0, "trainable_parameters": 2,
        "total_parameters": 4, "accumulated_learning_rate": 0.02, "precision": "fp32", "loss": (),
        "tokens_per_parameter": 300.0, **changes,
    })  # fmt: skip
    return make_record(
        number,
        recipe=Recipe(parallel_size=number + 1),
        trained_as=trained_as,
        training=training,
        extra={} if des is None else {"des": des},
    )


def evidence_of(records, error=0.01, draws=400, **gaps):
    """Independent errors in every measure."""
    values = np.stack([gaps[name] for name in gaps], axis=1)
    errors = error * np.random.default_rng(1).normal(size=(draws, *values.shape))
    names = tuple(name.replace("__", ".") for name in gaps)
    return Evidence(
        tuple(records),
        (1,) * len(records),
        names,
        np.zeros(len(names)),
        values,
        errors,
        np.zeros(len(names)),
    )


@pytest.fixture(scope="module")
def found():
    """Retention falls with KL; of quality nothing tells anything."""
    records = [
        record(i, forward_kl=KL[i], mean_difference=MPD[i], tokens=100 + i) for i in range(N)
    ]
    quality = np.array([1, -1] * 3 + [-1, 1] * 3) * 0.1
    return causes(evidence_of(records, retention=LOSS, quality=quality))


def test_the_best_predictor_stands_first_and_its_lead_is_told(found):
    retention, quality = found.causes
    best = retention.predictors[0]
    assert (best.names, best.correlation) == (("forward_kl",), pytest.approx(-1.0))
    assert -1.0 == best.low < best.high < -0.5 and best.settled
    assert retention.settled and retention.behind_low > 0
    assert retention.behind == pytest.approx(retention.predictors[1].error - best.error)
    assert [p.error for p in retention.predictors] == sorted(p.error for p in retention.predictors)
    assert 0.8 < retention.taken(best) < 1 and retention.noise == pytest.approx(0.01, rel=0.1)
    assert not quality.settled and quality.taken(quality.predictors[0]) < 0.2


def test_a_constants_error_is_that_of_the_other_recipes_mean(found):
    others = (LOSS.sum() - LOSS) / (N - 1)
    expected = np.sqrt(((LOSS - others) ** 2).mean())
    assert found.causes[0].constant_error == pytest.approx(expected)


def test_what_cannot_be_used_is_said(found):
    assert found.left_out == {
        "des": f"not recorded for {N} of {N} recipes",
        "accumulated_learning_rate": "the same in all recipes",
        "tokens_per_parameter": "the same in all recipes",
    }
    assert {n for p in found.causes[0].predictors for n in p.names} == {
        "forward_kl",
        "mean_difference",
        "tokens",
    }


def test_lines(found):
    lines = cause_lines(found)
    assert lines[0].startswith("What predicts the losses, over 12 trained recipes. For each")
    assert re.fullmatch(
        r"retention \(error: constant 0\.166, measurement alone 0\.0\d+\): "
        r"the best predictor is KL\(base \|\| tuned\) on the new task; "
        r"the next one's error is larger by 0\.1\d \[0\.\d+, 0\.\d+\], beyond noise\.",
        lines[1],
    )
    assert (
        lines[2].startswith("  -1.00 [-1.00, -0.")
        and "% below a constant's)  KL(base ||" in lines[2]
    )
    assert lines[5].startswith("quality (error: constant 0.109, measurement alone 0.0")
    assert lines[-1] == "Not used: tokens per trained parameter: the same in all recipes."
    assert [cause.measure for cause in found.causes] == ["retention", "quality"]
    assert [len(cause.predictors) for cause in found.causes] == [3, 3]
    first = found.causes[0].predictors[0]
    assert (first.names, first.correlation) == (("forward_kl",), -1)
    assert Causes.model_validate_json(found.model_dump_json()) == found


def test_predictors_of_one_order_are_one():
    records = [
        record(
            i, forward_kl=KL[i], tokens=100 + i, tokens_per_parameter=2.0 * i, mean_difference=-i
        )
        for i in range(N)
    ]
    (cause,) = causes(evidence_of(records, retention=LOSS)).causes
    names = {p.names for p in cause.predictors}
    assert names == {("forward_kl",), ("mean_difference", "tokens", "tokens_per_parameter")}
    assert "(MPD) or tokens trained on or tokens per" in cause.predictors[1].label


@pytest.mark.parametrize(
    "measure, best",
    [
        ("retention__formality", "formality"),
        ("retention", "mean"),
        ("quality", "quality"),
        ("retention__es", "mean"),  # no part of its name: the abilities' mean
    ],
)
def test_des_is_that_of_the_measures_own_part(measure, best):
    """The order of DES is another one to every part."""
    rng = np.random.default_rng(0)
    formality, few_shot, quality = rng.normal(size=(3, N))
    expected = {"formality": formality, "mean": (formality + few_shot) / 2, "quality": quality}
    records = [
        record(
            i, des={"formality": formality[i], "few_shot": few_shot[i], "quality.en-uk": quality[i]}
        )
        for i in range(N)
    ]
    (cause,) = causes(evidence_of(records, **{measure: expected[best]})).causes
    (predictor,) = cause.predictors
    assert (predictor.names, predictor.correlation) == (("des",), pytest.approx(1.0))


@pytest.mark.parametrize(
    "recipes, of, text",
    [
        (5, [None] * 5, "5 trained recipes are too few to say; 6 trainings are needed."),
        (8, [None] * 4 + [0, 1, 2, 3], "8 trained recipes (4 trainings) are too few"),
    ],
)
def test_too_few_trainings_tell_nothing(recipes, of, text):
    records = [record(i, trained_as=of[i], forward_kl=KL[i]) for i in range(recipes)]
    found = causes(evidence_of(records, retention=LOSS[:recipes]))
    assert found.causes == () and text in cause_lines(found)[0]


def test_alphas_of_one_training_widen_the_interval():
    """Twelve recipes of six trainings say less than twelve trainings do."""
    noisy = LOSS + 0.1 * np.random.default_rng(2).normal(size=N)
    widths = []
    for of in ([None] * N, [None] * 6 + list(range(6))):
        records = [record(i, trained_as=of[i], forward_kl=KL[i]) for i in range(N)]
        found = causes(evidence_of(records, retention=noisy, draws=2000))
        (predictor,) = found.causes[0].predictors
        widths.append(predictor.high - predictor.low)
    assert widths[1] > 1.2 * widths[0]
    assert "12 trained recipes (6 trainings)" in cause_lines(found)[0]


@pytest.mark.parametrize(
    "gaps, changes, text",
    [
        (np.zeros(N), {"forward_kl": KL}, "no recorded predictor is better than a constant."),
        (LOSS, {}, "no recorded predictor differs between the recipes."),
        (LOSS, {"forward_kl": KL}, "the best predictor is KL(base || tuned) on the new task."),
        (WEAK, {"forward_kl": KL}, "on the new task, but its correlation is within noise."),
    ],
)
def test_what_is_said_where_there_is_little_to_say(gaps, changes, text):
    records = [record(i, **{k: v[i] for k, v in changes.items()}) for i in range(N)]
    found = causes(evidence_of(records, error=0.0, retention=gaps))
    assert cause_lines(found)[1].endswith(text)


def test_a_record_without_the_divergence_leaves_it_out():
    records = [record(i, forward_kl=KL[i] if i else None, tokens=100 + i) for i in range(N)]
    found = causes(evidence_of(records, retention=LOSS))
    assert found.left_out["forward_kl"] == "not recorded for 1 of 12 recipes"
    assert [p.names for p in found.causes[0].predictors] == [("tokens",)]
