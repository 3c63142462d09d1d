"""The share of what the base model could: by hand, without bias, with intervals that hold."""

import numpy as np
import pytest

from mtray.analysis.retention import MOST, RetainedAbility, kept_share, retention
from mtray.analysis.uncertainty import mean_measurement
from mtray.errors import EvaluationError

FLOOR, MEAN, SD, N = 0.2, 0.6, 0.3, 150


def one_sweep(rng, losses, n=N, same_units=False):
    """Abilities whose true share kept is 1 - loss, of a tuned and a base model that agree on a
    sentence as two seeds do."""
    found = {}
    for k, loss in enumerate(losses):
        text = rng.normal(size=n)
        tuned, base = (
            MEAN + SD * (np.sqrt(0.6) * text + np.sqrt(0.4) * rng.normal(size=n)) for _ in range(2)
        )
        keys = np.arange(n) + (0 if same_units else 10_000 * k)
        tuned = tuned - loss * (MEAN - FLOOR)
        found[str(k)] = RetainedAbility(
            mean_measurement(tuned, "x", keys), mean_measurement(base, "x", keys), FLOOR
        )
    return found


def test_a_share_by_hand():
    # draws of s and b with variance of b 0.0002, covariance 0.0001 (over 3 draws)
    s_draws, b_draws = np.array([0.49, 0.50, 0.51]), np.array([0.62, 0.60, 0.60])
    together = np.cov(s_draws, b_draws)
    found = kept_share(0.5, 0.6, s_draws, b_draws, 0.2)
    expected = (0.3 * 0.4 + together[0, 1]) / (0.4**2 + together[1, 1])
    assert found.score.value == pytest.approx(expected)
    moved = ((s_draws - 0.5) - expected * (b_draws - 0.6)) / 0.4
    assert found.draws == pytest.approx(expected + moved)


def test_the_base_model_itself_keeps_exactly_all():
    base = mean_measurement(np.random.default_rng(0).random(50), "x")
    for name, found in retention(
        {"a": RetainedAbility(base, base, 0.1), "b": RetainedAbility(base, base, 0.0)}
    ).items():
        assert (found.score.value, found.score.low, found.score.high) == (1, 1, 1), name


def test_under_no_change_retention_reads_1_and_its_intervals_hold():
    rng, values, held, joint = np.random.default_rng(0), [], {"mean": 0, "0": 0}, 0
    for i in range(400):
        found = retention(one_sweep(rng, [0.0] * 6), 300, i)
        values.append(found["mean"].score.value)
        for name in held:
            held[name] += found[name].score.low <= 1 <= found[name].score.high
        joint += found["worst"].score.high >= 1
    assert np.mean(values) == pytest.approx(1, abs=0.005)
    assert held["mean"] / 400 == pytest.approx(0.95, abs=0.03)
    assert held["0"] / 400 == pytest.approx(0.95, abs=0.03)
    assert joint / 400 == pytest.approx(0.96, abs=0.03), "the worst of six, and still not `worse`"


def test_a_loss_is_seen_as_it_is():
    rng, values, held, single = np.random.default_rng(1), [], 0, 0
    losses = [0.6, 0.2, 0.0, 0.0, 0.0, 0.0]
    for i in range(300):
        found = retention(one_sweep(rng, losses), 300, i)
        values.append(found["mean"].score.value)
        held += found["mean"].score.low <= 1 - np.mean(losses) <= found["mean"].score.high
        single += found["0"].score.low <= 0.4 <= found["0"].score.high
    assert np.mean(values) == pytest.approx(1 - np.mean(losses), abs=0.005)
    assert held / 300 == pytest.approx(0.95, abs=0.03)
    assert single / 300 == pytest.approx(0.95, abs=0.03)


def test_abilities_of_one_file_are_resampled_together():
    rng = np.random.default_rng(2)
    abilities = one_sweep(rng, [0.0])
    one = abilities["0"]
    apart = RetainedAbility(
        mean_measurement(one.tuned.stats[:, 0], "x", np.arange(N) + 10_000),
        mean_measurement(one.base.stats[:, 0], "x", np.arange(N) + 10_000),
        FLOOR,
    )
    width = {}
    for name, second in (("shared", one), ("apart", apart)):
        found = retention({"a": one, "b": second}, 2000, 0)["mean"].score
        width[name] = found.high - found.low
        assert found.n == (N if name == "shared" else 2 * N)
    assert width["shared"] / width["apart"] == pytest.approx(2**0.5, rel=0.08)


def test_no_ability_pays_for_more_than_half_of_itself():
    base = mean_measurement([0.35] * 50, "x")
    better, gone = mean_measurement([0.95] * 50, "x"), mean_measurement([0.05] * 50, "x")
    found = retention(
        {"a": RetainedAbility(better, base, 0.0), "b": RetainedAbility(gone, base, 0.05)}
    )
    assert found["a"].score.value == MOST and found["a"].score.high <= MOST
    assert found["b"].score.value == pytest.approx(0, abs=1e-9)
    assert found["mean"].score.value == pytest.approx(MOST / 2)
    assert found["worst"].score.value == found["b"].score.value


def test_weights_by_hand():
    base = mean_measurement([1.0, 1.0], "x")
    half = mean_measurement([0.5, 0.5], "x")
    found = retention(
        {"a": RetainedAbility(half, base, 0.0, weight=3), "b": RetainedAbility(base, base, 0.0)}
    )
    assert found["mean"].score.value == pytest.approx((3 * 0.5 + 1) / 4)


def test_both_models_must_be_asked_the_same():
    a, b = mean_measurement([1.0, 2.0], "x"), mean_measurement([1.0, 2.0, 3.0], "x")
    with pytest.raises(EvaluationError, match="must be the same"):
        retention({"a": RetainedAbility(a, b, 0.0)})
    with pytest.raises(EvaluationError, match="at least one"):
        retention({})
