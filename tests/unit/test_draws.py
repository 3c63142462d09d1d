"""Paired bootstrap draws of a run's trials."""

import numpy as np
import pytest
from records_factory import make_record

from mtray.analysis.pareto import Z95
from mtray.analysis.seeds import SeedVariance
from mtray.report.draws import joint_draws, paired_difference, read_draws, write_draws
from mtray.report.groups import Group

NAMES = ["quality", "retention"]


def make_draws(seed, shift=0.0):
    common = np.random.default_rng(0).normal(0.5, 0.1, 2000)
    own = np.random.default_rng(seed).normal(0, 0.001, 2000)
    return {"quality": common + own + shift, "retention": np.ones(2000)}


def test_draws_come_back_by_name(tmp_path):
    draws = make_draws(1)
    write_draws(tmp_path, 3, draws)
    found = read_draws(tmp_path, 3, NAMES[::-1])
    np.testing.assert_allclose(
        found, np.stack([draws["retention"], draws["quality"]], 1), rtol=1e-6
    )
    assert read_draws(tmp_path, 3, ["chrf"]) is None
    assert read_draws(tmp_path, 4, NAMES) is None


def difference_of(draws, *replicates, spread=0.0, freedom=0):
    """The paired difference of two recipes; draws of shape (resamples, 2, 1)."""
    groups = [
        Group(tuple(make_record(10 * i + k, seed=k) for k in range(count)))
        for i, count in enumerate(replicates)
    ]
    luck = SeedVariance(np.array([spread**2]), freedom)
    return paired_difference(groups, ["quality"], draws, luck)


def two_draws():
    both = [make_draws(1, shift=0.02)["quality"], make_draws(2)["quality"]]
    return np.stack(both, axis=1)[:, :, None]


def test_a_paired_difference_forgets_what_both_share():
    a, b = make_record(0, 0.62), make_record(10, 0.6)
    difference = difference_of(two_draws(), 1, 1)
    gap, low, high = difference(a, b, "quality", Z95)
    assert gap == pytest.approx(0.02)
    # the shared spread of 0.1 is gone; two own spreads of 0.001 remain
    assert (high - low) / 2 == pytest.approx(Z95 * 0.001 * 2**0.5, rel=0.1)
    wide = difference(a, b, "quality", 2 * Z95)
    assert (wide[2] - wide[1]) == pytest.approx(2 * (high - low))


def test_a_difference_covers_the_seeds_too():
    a, b = make_record(0, 0.62), make_record(10, 0.6)
    same = np.full((500, 2, 1), 0.5)
    many = difference_of(same, 1, 4, spread=0.01, freedom=10_000)(a, b, "quality", Z95)
    assert (many[2] - many[1]) / 2 == pytest.approx(Z95 * 0.01 * (1 + 1 / 4) ** 0.5, rel=1e-3)
    # Student's t with 3 degrees of freedom: 3.182
    few = difference_of(same, 1, 4, spread=0.01, freedom=3)(a, b, "quality", Z95)
    assert (few[2] - few[1]) / 2 == pytest.approx(3.1824 * 0.01 * (1 + 1 / 4) ** 0.5, rel=1e-3)
    both = difference_of(two_draws(), 1, 1, spread=0.001, freedom=10_000)(a, b, "quality", Z95)
    assert (both[2] - both[1]) / 2 == pytest.approx(Z95 * 0.001 * 4**0.5, rel=0.1)


def test_joint_draws_need_every_trial(tmp_path):
    records = [make_record(1), make_record(2)]
    write_draws(tmp_path, 1, make_draws(1))
    assert joint_draws(tmp_path, records, NAMES) is None
    write_draws(tmp_path, 2, make_draws(2))
    assert joint_draws(tmp_path, records, NAMES).shape == (2000, 2, 2)
    write_draws(tmp_path, 2, {name: v[:10] for name, v in make_draws(2).items()})
    assert joint_draws(tmp_path, records, NAMES) is None
    write_draws(tmp_path, 2, make_draws(2) | {"retention": np.full(2000, np.nan)})
    assert joint_draws(tmp_path, records, NAMES) is None
