"""A run's evidence: differences from the untouched model with their errors."""

import numpy as np
import pytest
from records_factory import make_record
from surface_factory import OBJECTIVES, make_run

from mtray.errors import RunError
from mtray.report.evidence import evidence


def test_gaps_are_to_the_untouched_model():
    found = make_run(3, noise=0.0).evidence()
    assert found.numbers == (0, 1, 2, 3, 4)
    assert found.base == pytest.approx([0.6, 1.0, 1.0])
    # all pairs of the range: +.04 of quality, -.2 of retention
    assert found.gaps[0, :2] == pytest.approx([0.04, -0.2], abs=1e-4)
    assert found.gap("retention")[0] == pytest.approx(-0.2, abs=1e-4)


def test_what_all_share_is_no_error_of_a_difference():
    """All draws have a part in common with the base model's; only a recipe's own is left, and the
    seed's, of half the size (`PRIOR_RATIO`): sqrt(1 + .25)."""
    found = make_run(8, noise=0.004).evidence()
    deviations = np.sqrt(np.diag(found.covariance("quality")))
    assert deviations == pytest.approx(np.full(10, 0.004 * 1.25**0.5), rel=0.35)
    between = found.covariance("quality")[0, 1] / deviations[0] ** 2
    assert abs(between) < 0.3


def test_recipes_without_draws_share_the_error_of_the_untouched_model():
    records = [make_record(-1, role="base"), *(make_record(i, half=0.02) for i in range(1))]
    records += [make_record(1, role="parallel_only", half=0.02)]
    found = evidence(records, list(OBJECTIVES))
    covariance = found.covariance("quality")
    assert covariance[0, 1] == pytest.approx((0.01 / 1.96) ** 2, rel=0.2)


@pytest.mark.parametrize(
    "records, message",
    [
        ([make_record(0)], "the base model is not measured"),
        ([make_record(-1, role="base")], "no trained recipe is complete"),
        (
            [make_record(-1, role="base"), make_record(0, objectives={})],
            "not every complete trial has 'quality'",
        ),
    ],
)
def test_too_little_is_said(records, message):
    with pytest.raises(RunError, match=message):
        evidence(records, list(OBJECTIVES))


def test_an_ability_that_a_trial_lacks_is_left_out():
    whole = make_run(2)
    records = [*whole.records[:-1], whole.records[-1].model_copy(update={"scores": {}})]
    assert "retention.animacy" in whole.evidence().names
    assert evidence(records, list(OBJECTIVES), whole.draws).names == tuple(OBJECTIVES)
