"""Weights of sources in recipes of earlier runs, in the terms of another study and space."""

import pytest
from records_factory import make_study
from weights_factory import SHARES, SOURCES, recipe, source, space_of

from mtray.search.ledger.earlier_recipes import mix_difference, recipe_here

FIXED = SHARES.replace("{type: share}", "0.7", 1)
STUDY = make_study(sources=SOURCES)  # web 3, news 1, books 2
FEWER = make_study(sources=SOURCES[:-1])
MORE = make_study(sources=(*SOURCES, source("talks", weight=6)))
TALKS = f"{SHARES}weight.talks: {{type: share}}\n"
GIVEN = "by the sources' weights"

# recipe, its study, the new one, the new space's lines, and the weights here or what stands in the
# way (60 monolingual examples)
CASES = {
    "searched there and here": (
        recipe(web=0.7, news=0.2, books=0.1), STUDY, STUDY, SHARES,
        {"web": 0.7, "news": 0.2, "books": 0.1}),
    "searched beside a fixed one": (
        recipe(web=0.7, news=0.2, books=0.1), STUDY, STUDY, FIXED,
        {"web": 0.7, "news": 0.2, "books": 0.1}),
    "the study's, searched here": (
        recipe(), STUDY, STUDY, SHARES, {"web": 1 / 2, "news": 1 / 6, "books": 1 / 3}),
    "equal, searched here": (
        recipe().with_values({"source_weights": "equal"}), STUDY, STUDY, SHARES,
        {"web": 1 / 3, "news": 1 / 3, "books": 1 / 3}),
    "equal, none of the kind": (
        recipe().with_values({"source_weights": "equal", "mono_ratio": 0.0}), STUDY, STUDY, "",
        {}),
    "equal, of which one is fixed here": (
        recipe().with_values({"source_weights": "equal"}), STUDY, STUDY,
        "weight.web: 1\nsource_weights: equal\n", {"web": 1}),
    "a new source, searched": (
        recipe(), STUDY, MORE, TALKS,
        {"web": 1 / 2, "news": 1 / 6, "books": 1 / 3, "talks": 0}),
    "a new source, fixed at 0": (recipe(), STUDY, MORE, "weight.talks: 0\n", {"talks": 0}),
    "a new source of the study's weight": (
        recipe(), STUDY, MORE, "", f"source web gave 30 examples there and gives 15 here, {GIVEN}"),
    "a new source, fixed above 0": (
        recipe(), STUDY, MORE, "weight.talks: 3\n",
        f"source web gave 30 examples there and gives 20 here, {GIVEN}"),
    "a source less, that it left out": (
        recipe(web=0.75, news=0.25, books=0), STUDY, FEWER, "", {}),
    "a source less, of which it has some": (
        recipe(web=0.5, news=0.25, books=0.25), STUDY, FEWER, "",
        f"source web gave 30 examples there and gives 45 here, {GIVEN}"),
    "searched there, and the study's mix": (
        recipe(web=0.5, news=1 / 6, books=1 / 3), STUDY, STUDY, "", {}),
    "searched there, and another mix": (
        recipe(web=0.7, news=0.2, books=0.1), STUDY, STUDY, "",
        f"source web gave 42 examples there and gives 30 here, {GIVEN}"),
    "another one, fixed beside those searched": (
        recipe(web=0.4, news=0.4, books=0.2), STUDY, STUDY, FIXED,
        f"source web gave 24 examples there and gives 42 here, {GIVEN}"),
    "others instead, searched": (
        recipe(), make_study(sources=(SOURCES[0], source("old"))), STUDY, SHARES,
        f"source old gave 60 examples there and gives 0 here, {GIVEN}"),
    "none of the kind": (
        recipe().with_values({"mono_ratio": 0.0}), STUDY, MORE, "weight.web: 5\n", {"web": 5}),
    "none of the kind, searched": (
        recipe().with_values({"mono_ratio": 0.0}), STUDY, MORE, TALKS, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_weights_in_the_terms_of_this_study_and_space(tmp_path, case):
    found, there, here, lines, expected = CASES[case]
    space = space_of(tmp_path, lines, here.sources)
    reason = mix_difference(found, there, here, space)
    if isinstance(expected, str):
        assert reason is not None and reason.startswith(expected)
        return
    assert reason is None
    as_here = recipe_here(found, there, here, space)
    assert as_here.weights == expected
    # a recipe that the space could have suggested, but for the learning rate that it fixes
    assert space.recipe(space.params(as_here)) == as_here.with_values({"learning_rate": 1e-3})
