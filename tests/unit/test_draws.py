"""Paired bootstrap draws of a run's trials."""

import numpy as np
import pytest
from records_factory import make_record

from mtray.report.compare import Z95, independent_difference
from mtray.report.draws import joint_draws, paired_difference, read_draws, write_draws

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


def test_a_paired_difference_forgets_what_both_share(tmp_path):
    a, b = make_record(1), make_record(2)
    write_draws(tmp_path, 1, make_draws(1, shift=0.02))
    write_draws(tmp_path, 2, make_draws(2))
    gap, low, high = paired_difference(tmp_path)(a, b, "quality", Z95)
    assert gap == pytest.approx(a.objectives["quality"].value - b.objectives["quality"].value)
    # the shared spread of 0.1 is gone; two own spreads of 0.001 remain
    assert (high - low) / 2 == pytest.approx(Z95 * 0.001 * 2**0.5, rel=0.1)
    wide = paired_difference(tmp_path)(a, b, "quality", 2 * Z95)
    assert (wide[2] - wide[1]) == pytest.approx(2 * (high - low))


def test_without_draws_the_scores_count_as_independent(tmp_path):
    a, b = make_record(1), make_record(2)
    write_draws(tmp_path, 1, make_draws(1))
    expected = independent_difference(a, b, "quality", Z95)
    assert paired_difference(tmp_path)(a, b, "quality", Z95) == expected


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
