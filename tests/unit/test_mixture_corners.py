"""Corners of a space of mixtures, and the shares of them that a recipe is made of, by hand."""

from collections import Counter

import pytest
from weights_factory import NAMED, PAIRS, SHARES, source, space_of

from mtray.data.mixing import plan
from mtray.errors import ConfigError
from mtray.search_space.mixture_corners import corner_shares, corners
from mtray.search_space.space import load_space
from mtray.training.merging import checked_shares

WEB, NEWS, BOOKS = NAMED
FIXED_SIZE = "parallel_size: 60\nlearning_rate: 0.001\n"
MIXED = FIXED_SIZE + "mono_ratio: {type: float, low: 0.0, high: 2.0}\n" + SHARES
REPLAYED = MIXED + "replay_fraction: {type: float, low: 0.0, high: 0.5}\n"
SOURCES = (PAIRS, *(source(name.removeprefix("weight.")) for name in NAMED))
SOURCES += (source("chat", "replay"),)


def space(folder, lines):
    (folder / "space.yaml").write_text(lines, encoding="utf-8")
    return load_space(folder / "space.yaml", None, SOURCES)


def short(recipe):
    """Ratio, fraction, and the source that has all the weight."""
    alone = [name for name, weight in recipe.weights.items() if weight]
    return recipe.mono_ratio, recipe.replay_fraction, *alone


def test_a_corner_has_one_source_and_the_ends_of_the_ratios(tmp_path):
    found = [short(recipe) for recipe in corners(space(tmp_path, REPLAYED))]
    rest = [(2.0, f, name) for f in (0.0, 0.5) for name in ("web", "news", "books")]
    assert found == [(0.0, 0.0), (0.0, 0.5), *rest], "without mono text, weights are nothing"


def test_a_fixed_weight_stays(tmp_path):
    lines = MIXED.replace(f"{BOOKS}: {{type: share}}", f"{BOOKS}: 0.2")
    found = space(tmp_path, lines.replace("{type: float, low: 0.0, high: 2.0}", "1.0"))
    weights = [recipe.weights for recipe in corners(found)]
    assert weights == [
        {"books": 0.2, "news": 0.0, "web": 0.8},
        {"books": 0.2, "news": 0.8, "web": 0.0},
    ]
    recipe = found.recipe({WEB: 0.6, NEWS: 0.2})
    assert list(corner_shares(found, recipe).values()) == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize(
    "ratio, fraction, weights, expected",
    [
        (0.0, 0.0, (0.5, 0.3, 0.2), {(0.0, 0.0): 1}),
        (2.0, 0.0, (0, 1, 0), {(2.0, 0.0, "news"): 1}),
        # half of the ratio: half parallel text only, half by the weights
        (
            1.0, 0.0, (0.5, 0.5, 0),
            {(0.0, 0.0): 0.5, (2.0, 0.0, "web"): 0.25, (2.0, 0.0, "news"): 0.25},
        ),
        # odds of 1/4 are 1/3, of 1/2 they are 1
        (
            2.0, 0.25, (1, 0, 0),
            {(2.0, 0.0, "web"): 2 / 3, (2.0, 0.5, "web"): 1 / 3},
        ),
    ],
)  # fmt: skip
def test_shares_by_hand(tmp_path, ratio, fraction, weights, expected):
    found = space(tmp_path, REPLAYED)
    params = {"mono_ratio": ratio, "replay_fraction": fraction}
    recipe = found.recipe(params | dict(zip(NAMED, weights, strict=True)))
    shares = corner_shares(found, recipe)
    assert {short(corner): share for corner, share in shares.items()} == pytest.approx(expected)
    assert set(shares) <= set(corners(found))


@pytest.mark.parametrize("ratio", [0.3, 1.7, 2.0])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.45])
def test_the_mean_of_the_corners_mixes_is_the_recipes_mix(tmp_path, ratio, fraction):
    found = space(tmp_path, REPLAYED)
    params = {"mono_ratio": ratio, "replay_fraction": fraction}
    recipe = found.recipe(params | dict(zip(NAMED, (0.5, 0.3, 0.2), strict=True)))
    shares, mean = corner_shares(found, recipe), Counter()
    for corner, share in shares.items():
        for part in plan(corner, SOURCES):
            mean[part.source] += share * part.requested
    assert sum(shares.values()) == pytest.approx(1)
    assert dict(mean) == pytest.approx({p.source: p.requested for p in plan(recipe, SOURCES)})


def test_rounded_weights_give_shares_that_sum_to_1(tmp_path):
    """Merging refuses shares that are off by more than 1e-9 in all."""
    found = space(tmp_path, MIXED)
    recipe = found.recipe({"mono_ratio": 2.0, WEB: 0.5, NEWS: 0.5, BOOKS: 0.0})
    rounded = recipe.with_values(dict.fromkeys(NAMED, 0.333333334))
    shares = corner_shares(found, rounded)
    assert checked_shares({short(corner)[-1]: s for corner, s in shares.items()}).keys() == {
        "web", "news", "books",
    }  # fmt: skip


def test_a_recipe_of_another_space_has_no_shares(tmp_path):
    found = space(tmp_path, MIXED)
    inside = found.recipe({"mono_ratio": 1.0, WEB: 0.5, NEWS: 0.5, BOOKS: 0.0})
    assert corner_shares(found, inside)
    for change in ({"mono_ratio": 3.0}, {"parallel_size": 61}, {"source_weights": "equal"}):
        assert corner_shares(found, inside.with_values(change)) is None, change


@pytest.mark.parametrize(
    "line, said",
    [
        ("learning_rate: {type: float, low: 0.001, high: 0.01}\n", "learning_rate is searched"),
        ("epochs: {type: float, low: 1, high: 2}\n", "epochs is searched"),
        (
            "replay_fraction: {type: float, low: 0.0, high: 0.5, when: {mono_ratio: {above: 1}}}\n",
            "replay_fraction has a condition",
        ),
    ],
)
def test_what_no_mean_stands_for_is_refused(tmp_path, line, said):
    lines = MIXED.replace("learning_rate: 0.001\n", "") if "learning_rate" in line else MIXED
    found = space(tmp_path, lines + line)
    with pytest.raises(ConfigError, match=f"{said}, and merged models can only stand"):
        corners(found)
    with pytest.raises(ConfigError, match=r"as in search_spaces/weights\.yaml"):
        corner_shares(found, found.recipe(dict.fromkeys(found.parameters, 0.5)))


def test_sizes_that_are_searched_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="parallel_size is searched"):
        corners(space_of(tmp_path))
