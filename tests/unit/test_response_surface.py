"""The response surface of a run, against a truth that is known."""

import numpy as np
import pytest
from records_factory import make_record
from surface_factory import BASELINES, CONDITIONAL, OBJECTIVES, SPACE, make_run, truth

from mtray.analysis.gaussian_process import drawn
from mtray.analysis.gaussian_process_fit import fit
from mtray.analysis.surface import curve, fit_surface, importances
from mtray.errors import RunError
from mtray.report.surface import APART, Coordinates, modelled
from mtray.schema import Recipe
from mtray.search_space.parameters import Choices, FloatRange, Parameter
from mtray.search_space.space import Space


@pytest.fixture(scope="module")
def run():
    return make_run(24)


@pytest.fixture(scope="module")
def surface(run):
    return modelled(run.evidence(), SPACE)


def test_it_finds_the_truth_within_its_errors(surface):
    recipes = [
        Recipe(parallel_size=s, mono_ratio=m, learning_rate=r)
        for s in (200, 1000, 5000)
        for m in (0.2, 1.8)
        for r in (3e-5, 5e-4)
    ]
    mean, deviation = surface.predict(recipes)
    true = np.array([truth(recipe) for recipe in recipes]) - [0.6, 1.0]
    assert (np.abs(mean[:, :2] - true) < 3 * deviation[:, :2]).all()
    assert np.abs(mean[:, 0] - true[:, 0]).mean() < 0.004
    assert np.abs(mean[:, 1] - true[:, 1]).mean() < 0.01


def test_its_intervals_hold():
    """Of 20 runs, the intervals at points that none trained cover 90 to 100 % of the truth."""
    recipes = [Recipe(parallel_size=700, mono_ratio=0.7, learning_rate=r) for r in (2e-5, 4e-4)]
    true = np.array([truth(recipe) for recipe in recipes]) - [0.6, 1.0]
    inside = []
    for seed in range(20):
        found = modelled(make_run(14, seed=seed).evidence(), SPACE, list(OBJECTIVES))
        mean, deviation = found.predict(recipes)
        inside.append(np.abs(mean - true) < 1.96 * deviation)
    assert 0.9 <= np.mean(inside) <= 1.0


def test_the_order_of_the_trials_does_not_matter(run, surface):
    turned = type(run)(list(reversed(run.records)), run.draws)
    other = modelled(turned.evidence(), SPACE)
    recipes = [Recipe(parallel_size=700, mono_ratio=0.7, learning_rate=1e-4)]
    assert other.predict(recipes)[0] == pytest.approx(surface.predict(recipes)[0], abs=1e-6)


def test_too_few_recipes_are_said():
    with pytest.raises(RunError, match="3 recipes are trained; a response surface needs 5"):
        modelled(make_run(1).evidence(), SPACE)


def test_a_value_that_the_space_fixes_otherwise_is_a_coordinate_of_its_own():
    recipes = [Recipe(**values) for values in BASELINES.values()]
    found = Coordinates(SPACE, recipes).features(recipes)
    assert found.shape == (2, 4)
    assert found[:, 3].tolist() == [0.0, APART]


def test_what_is_switched_off_tells_nothing_apart():
    at = Coordinates(CONDITIONAL)
    full = [Recipe(parallel_size=500, learning_rate=1e-4, lora_rank=rank) for rank in (4, 64)]
    one, other = at.features(full)
    assert one.tolist() == other.tolist()
    lora = full[0].model_copy(update={"method": "lora"})
    assert at.features([lora])[0].tolist() != one.tolist()


ON_LOG = FloatRange(type="float", low=0.1, high=4, log=True)


@pytest.mark.parametrize(
    "name, parameter, value",
    [
        ("mono_ratio", ON_LOG, 0.0),
        ("method", Choices(type="categorical", choices=("lora", "qlora")), "full"),
        ("learning_rate", FloatRange(type="float", low=1e-5, high=1e-3, log=True), None),
    ],
)
def test_what_no_coordinate_can_be_is_a_coordinate_of_its_own(
    name: str, parameter: Parameter, value: object
):
    """As a baseline's, which is what it is whatever the space says."""
    size, rate = (SPACE.parameters[n] for n in ("parallel_size", "learning_rate"))
    space = Space(parameters={"parallel_size": size, "learning_rate": rate, name: parameter})
    fields = {"parallel_size": 500, "learning_rate": 1e-4}
    there = Recipe.model_validate({**fields, name: value})
    at = Coordinates(space, [there]).features([there])
    assert np.isfinite(at).all()
    assert at[0, -1] == APART


def test_a_curve_by_hand():
    """Of f(x, z) = x + z without noise, averaged over z in {0, 1}: x + .5."""
    grid = np.linspace(0, 1, 5)
    points = np.array([[x, z] for x in grid for z in grid])
    process = fit(points, points.sum(axis=1), 1e-8 * np.eye(25))
    at = np.array([[[x, z] for z in (0.0, 1.0)] for x in (0.0, 0.5, 1.0)])
    found = curve(process, at)
    assert found.mean == pytest.approx([0.5, 1.0, 1.5], abs=0.02)
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()


def test_importances_by_hand():
    """Of f(x, z, w) = 2 x + z without noise: variances 4 : 1 : 0."""
    rng = np.random.default_rng(0)
    points = rng.random((60, 3))
    process = fit(points, 2 * points[:, 0] + points[:, 1], 1e-6 * np.eye(60))
    one, other = rng.random((2, 128, 3))
    mixed = [np.where(np.arange(3) == j, other, one) for j in range(3)]
    shares = [found.share for found in importances(process, one, mixed)]
    assert shares == pytest.approx([0.8, 0.2, 0.0], abs=0.12)


def test_draws_have_the_covariance_asked_for():
    covariance = np.array([[1.0, 0.5], [0.5, 2.0]])
    found = drawn(np.array([1.0, -1.0]), covariance, 20_000, np.random.default_rng(0))
    assert found.mean(axis=0) == pytest.approx([1, -1], abs=0.05)
    assert np.cov(found.T) == pytest.approx(covariance, abs=0.06)


def test_measures_do_not_touch_each_other(run):
    both = modelled(run.evidence(), SPACE, ["quality", "retention"])
    alone = modelled(run.evidence(), SPACE, ["retention"])
    recipe = [make_record(recipe=Recipe(parallel_size=700, learning_rate=1e-4)).recipe]
    assert both.predict(recipe)[0][0, 1] == pytest.approx(alone.predict(recipe)[0][0, 0])


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="errors of shape"):
        fit_surface(np.zeros((3, 1)), np.zeros((3, 1)), [np.zeros((2, 2))])
