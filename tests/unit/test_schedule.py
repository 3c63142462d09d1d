"""Steps, learning rates, and which example goes where."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtray.schema import Training
from mtray.training.schedule import (
    batches,
    learning_rate_at,
    micro_batches,
    plan_step,
)


@pytest.mark.parametrize(
    "examples, options, steps",
    [
        (64, {}, 1),
        (65, {}, 2),
        (1, {}, 1),
        (0, {}, 0),
        (100, {"batch_examples": 30, "epochs": 3}, 12),
        (100, {"batch_examples": 30, "epochs": 3, "max_steps": 5}, 5),
        (100, {"batch_examples": 30, "max_steps": 50}, 4),
    ],
)
def test_number_of_steps(examples, options, steps):
    training = Training(**options)
    assert len(batches(np.ones(examples, int), training, 1)) == steps


def rates(steps, **options):
    return [learning_rate_at(s, steps, 4.0, Training(**options)) for s in range(steps)]


def test_learning_rates_by_hand():
    # warm-up over ceil(0.3 * 8) = 3 steps, then 5 steps from the peak to zero
    half = 0.5 * (1 + math.cos(math.pi / 5))
    found = rates(8, warmup=0.3, schedule="linear")
    assert found == pytest.approx([1.0, 2.0, 3.0, 4.0, 3.2, 2.4, 1.6, 0.8])
    assert rates(8, warmup=0.3, schedule="constant") == [1.0, 2.0, 3.0, *[4.0] * 5]
    assert rates(8, warmup=0.3, schedule="cosine")[3:5] == pytest.approx([4.0, 4 * half])
    assert rates(2, warmup=0, schedule="cosine") == pytest.approx([4.0, 2.0])
    assert rates(3, warmup=1) == pytest.approx([1.0, 2.0, 3.0])
    assert rates(1, warmup=0) == [4.0]


@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from(["cosine", "linear", "constant"]))
@settings(deadline=None)
def test_every_step_moves_and_none_is_above_the_peak(steps, warmup, schedule):
    found = rates(steps, warmup=warmup, schedule=schedule)
    assert all(0 < rate <= 4.0 for rate in found)
    top = found.index(max(found))
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)


def test_batches_show_every_example_once_an_epoch():
    training = Training(batch_examples=30, epochs=2)
    found = batches(np.ones(100, int), training, 1)
    assert [len(b) for b in found] == [30, 30, 30, 10] * 2
    first, second = np.concatenate(found[:4]), np.concatenate(found[4:])
    assert sorted(first) == sorted(second) == list(range(100))
    assert first.tolist() != second.tolist() and first.tolist() != list(range(100))
    again = batches(np.ones(100, int), training, 1)
    assert all((a == b).all() for a, b in zip(found, again, strict=True))
    assert (batches(np.ones(100, int), training, 2)[0] != found[0]).any()


lengths_of = st.lists(st.integers(1, 60), min_size=1, max_size=80)


@settings(deadline=None)
@given(lengths_of, st.integers(1, 200), st.floats(0, 1))
def test_micro_batches_cover_every_row_once_and_fit(lengths, most, waste):
    lengths = np.array(lengths)
    rows = np.random.default_rng(0).permutation(len(lengths))
    groups = micro_batches(rows, lengths, most, waste)
    assert sorted(np.concatenate(groups)) == sorted(rows)
    for group in groups:
        padded = len(group) * lengths[group].max()
        assert padded <= most or len(group) == 1
        if len(group) > 8:
            assert padded - lengths[group].sum() <= waste * padded


def test_micro_batches_are_as_large_as_allowed():
    lengths = np.array([10] * 10)
    assert [len(g) for g in micro_batches(np.arange(10), lengths, 40)] == [4, 4, 2]
    # one long example would pad eight short ones to more than three quarters waste
    mixed = np.array([2] * 8 + [50])
    assert [len(g) for g in micro_batches(np.arange(9), mixed, 10_000)] == [8, 1]
    assert [len(g) for g in micro_batches(np.arange(9), mixed, 10_000, waste=1)] == [9]


@settings(deadline=None)
@given(lengths_of, st.integers(1, 6), st.integers(1, 200))
def test_workers_share_a_step_and_agree_on_its_micro_batches(lengths, world, most):
    lengths = np.array(lengths)
    rows = batches(lengths, Training(batch_examples=1000), 1)[0]
    parts = [plan_step(rows, lengths, (rank, world), most) for rank in range(world)]
    assert len({len(groups) for groups in parts}) == 1
    assert len(parts[0]) > 0
    seen = [int(r) for groups in parts for group in groups for r in group]
    assert sorted(seen) == sorted(rows.tolist())
    assert not any(
        len(group) > 1 and len(group) * lengths[group].max() > most
        for groups in parts
        for group in groups
    )


@given(lengths_of, st.integers(1, 200))
def test_batches_of_tokens_hold_every_row_and_no_more_than_allowed(found, most):
    lengths = np.array(found)
    batches_found = batches(lengths, Training(batch_tokens=most, epochs=2), 1)
    assert sorted(np.concatenate(batches_found)) == sorted([*range(len(lengths))] * 2)
    assert all(len(b) == 1 or lengths[b].sum() <= most for b in batches_found)


def test_batches_of_tokens_by_hand():
    lengths = np.full(10, 30)
    sizes = [len(b) for b in batches(lengths, Training(batch_tokens=100), 1)]
    assert sizes == [3, 3, 3, 1]
    assert len(batches(lengths, Training(batch_tokens=100, max_steps=2), 1)) == 2
