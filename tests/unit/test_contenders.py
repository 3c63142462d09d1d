"""Recipes of which joint draws are made: those that may be the answer. Where they are left out, the
law of the answer is that of draws of all recipes."""

from pathlib import Path

import numpy as np
import pytest
from records_factory import make_baselines, make_record, make_study

from mtray.analysis.pareto import maximised, non_dominated
from mtray.report import contenders
from mtray.report.answer import answer
from mtray.report.contenders import CERTAIN
from mtray.report.contenders import contenders as contenders_of
from mtray.report.evidence import evidence
from mtray.report.front_builder import build_front
from mtray.report.posterior import joint_posterior, utility_of
from mtray.report.surface import modelled
from mtray.schema import Preference, Recipe
from mtray.search_space.parameters import FloatRange, IntRange
from mtray.search_space.space import Space

OBJECTIVES = {"quality": "max", "retention": "max"}
SPACE = Space(
    parameters={
        "parallel_size": IntRange(type="int", low=256, high=8192, log=True),
        "mono_ratio": FloatRange(type="float", low=0.0, high=4.0),
        "replay_fraction": FloatRange(type="float", low=0.0, high=0.5),
        "learning_rate": FloatRange(type="float", low=4e-5, high=4e-3, log=True),
    }
)
PREFER = [
    {},
    {"quality": Preference(weight=(1, 3))},
    {"retention": Preference(at_least=0.8)},
    {"retention": Preference(at_least=0.8, weight=0.5)},
    {"quality": Preference(at_least=0.99)},  # which none reaches
]


def records_of(trials=150, seed=1):
    """Recipes of which most are far from the best: both objectives fall with the distance of the
    mono ratio from 2; quality rises and retention falls with the learning rate."""
    rng = np.random.default_rng(seed)
    records = make_baselines()
    for number in range(2, trials + 2):
        rate, mono = rng.uniform(size=2)
        recipe = Recipe(
            parallel_size=int(2 ** rng.uniform(8, 13)), mono_ratio=4 * mono,
            replay_fraction=rng.uniform(0, 0.5), learning_rate=4e-5 * 100**rate,
        )  # fmt: skip
        away = 0.6 * (mono - 0.5) ** 2
        quality, retention = 0.6 + 0.1 * rate - away, 0.95 - 0.3 * rate**2 - away
        off = rng.normal(0, 0.004, 2)
        records.append(
            make_record(number, quality + off[0], retention + off[1], half=0.008, recipe=recipe)
        )
    return records


@pytest.fixture(scope="module")
def run():
    found = evidence(records_of(), list(OBJECTIVES))
    return found, modelled(found, SPACE, list(OBJECTIVES))


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(contenders, "FEW", 20)


def test_deviations_are_at_most_a_bit_above_those_of_the_joint_posterior(run):
    found, surface = run
    at = surface.coordinates.features([r.recipe for r in found.records])
    for column, process in enumerate(surface.surface.processes):
        part = process.parts[0]
        assert part.own_means() == pytest.approx(part.means(at), abs=1e-9)
        _, covariance = part.joint(at)
        for reference in (None, 3, 77):
            variance = np.diag(covariance).copy()
            if reference is not None:
                variance += variance[reference] - 2 * covariance[reference]
            exact = np.sqrt(np.maximum(variance, 0.0))
            found_here = surface.trained_deviations(reference, 256)[:, column]
            assert (found_here >= exact - 1e-9).all()
            assert (found_here <= 1.6 * exact + 1e-4).all()


@pytest.mark.parametrize("prefer", PREFER)
def test_who_is_left_out_is_never_the_best(run, few, prefer):
    found, surface = run
    wanted = utility_of(found, OBJECTIVES, prefer)
    kept = contenders_of(surface, OBJECTIVES, wanted)
    assert set(found.baselines) <= {*kept.tolist()}
    gaps = maximised(found.gaps[:, :2], ["max", "max"])
    assert {*np.flatnonzero(non_dominated(gaps))} <= {*kept.tolist()}
    all_of_them = np.arange(len(found.records))
    if prefer == PREFER[-1]:
        assert (kept == all_of_them).all()
        return
    assert len(kept) < 0.8 * len(all_of_them)
    contenders.FEW = len(all_of_them)  # restored by the fixture
    whole = joint_posterior(found, OBJECTIVES, SPACE, prefer=prefer)
    out = 1 + np.setdiff1d(all_of_them, kept)
    assert whole.choice.chances[out].sum() <= 0.002
    assert whole.choice.best - 1 in kept


@pytest.mark.parametrize("prefer", PREFER[:4])
def test_the_answer_is_that_of_draws_of_all(run, monkeypatch, prefer):
    found, _ = run
    whole = answer(joint_posterior(found, OBJECTIVES, SPACE, prefer=prefer))
    monkeypatch.setattr(contenders, "FEW", 20)
    some = answer(joint_posterior(found, OBJECTIVES, SPACE, prefer=prefer))
    assert (some.number, some.recipe, some.seeds) == (whole.number, whole.recipe, whole.seeds)
    assert some.scale == whole.scale
    # four standard errors of a share of 4000 draws
    assert some.probability == pytest.approx(whole.probability, abs=0.03)
    chances = [{r.number: r.chance for r in a.rivals if r.chance > 0.08} for a in (some, whole)]
    assert chances[0] == pytest.approx(chances[1], abs=0.03)
    for one, other in zip(some.against, whole.against, strict=True):
        assert (one.role, one.number) == (other.role, other.number)
        for gain, expected in zip(one.gains, other.gains, strict=True):
            assert gain.gain == pytest.approx(expected.gain, abs=1e-9)
            width = expected.high - expected.low
            assert gain.low == pytest.approx(expected.low, abs=0.06 * width)
            assert gain.high == pytest.approx(expected.high, abs=0.06 * width)


def test_the_front_does_not_depend_on_the_order_of_records(few):
    records, study = records_of(60), make_study()
    forward = build_front(records, study, Path("run"), space=SPACE)
    assert build_front(records[::-1], study, Path("run"), space=SPACE) == forward
    assert forward.modelled and CERTAIN > 4
