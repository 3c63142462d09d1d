"""Baselines that every sweep runs: the mix they promise, whatever weights the sources have."""

import numpy as np
import pytest
from ledger_factory import REFERENCES, SOURCES, SPACE, run, study_of

from mtray.data.mixing import plan, tokens_of
from mtray.schema import Mixing, Source, Training
from mtray.search.strategy.baseline_recipes import baseline_recipes


def test_a_uniform_mix_has_equally_many_of_every_source():
    sources = (
        *SOURCES,
        SOURCES[1].model_copy(update={"name": "more"}),
        Source(name="replayed", kind="replay", path="r.jsonl"),
    )
    found = baseline_recipes(SPACE, study_of(sources=sources))["uniform"]
    parts = plan(SPACE.recipe(found), sources)
    assert [p.count for p in parts] == [2048] * 4


def weighed(**weights):
    """Sources by the beginning of their name: p(arallel), m(ono), r(eplay), i(nstruct)."""
    kinds = {kind[0]: kind for kind in ("parallel", "mono", "replay", "instruct")}
    languages = {"p": ("en", "uk"), "m": ("en",)}
    return tuple(
        Source(
            name=name,
            kind=kinds[name[0]],
            path="x",
            languages=languages.get(name[0], ()),
            weight=weight,
        )
        for name, weight in weights.items()
    )


@pytest.mark.parametrize(
    "sources, own_weights",
    [
        (weighed(p1=9, p2=1, m1=1), False),
        (weighed(p1=1, m1=9, m2=1, r1=2, r2=1, i1=7), False),
        (weighed(p1=1, p2=1, m1=9, m2=1), False),
        (weighed(p1=3, r1=9, i1=1), False),  # no monolingual source
        (weighed(p1=9, p2=1), False),  # pairs only
        (weighed(p1=1, p2=1, m1=5, i1=2), True),  # even within every kind
    ],
)
@pytest.mark.parametrize("held", [None, 9000, 700])  # None: not known; else of the last source
@pytest.mark.parametrize("count", ["examples", "tokens"])
def test_a_uniform_mix_takes_no_account_of_weights(sources, own_weights, held, count):
    rng = np.random.default_rng(3)
    sums, have = None, None
    if held is not None:
        have = {s.name: 20_000 for s in sources} | {sources[-1].name: held}
    if count == "tokens":
        sums = {s.name: np.cumsum(rng.integers(5, 15, 20_000)) for s in sources}
    study = study_of(sources=sources, mixing=Mixing(count=count))
    params = baseline_recipes(SPACE, study, have, lambda recipe: sums)["uniform"]
    recipe = SPACE.recipe(params)
    assert (recipe.source_weights == "study") is own_weights
    parts = plan(recipe, sources, sums)
    counts = [part.count for part in parts]
    assert sum(counts) > 600
    if count == "examples":
        assert max(counts) - min(counts) <= 1
    else:
        of_pairs = [tokens_of(sums[p.source], p.count) for p in parts if p.kind == "parallel"]
        others = [p for p in parts if p.kind != "parallel"]
        realised = [tokens_of(sums[p.source], p.count) for p in others]
        assert all(abs(t - sum(of_pairs) / len(of_pairs)) <= 15 for t in realised)
        pairs = counts[: len(of_pairs)]
        assert max(pairs) - min(pairs) <= 1
    if have is not None:
        assert all(part.count <= have[part.source] for part in parts)


@pytest.mark.parametrize("cap, most", [(None, 4096), (3.0, 3000), (9.0, 4096)])
def test_a_uniform_mix_keeps_to_the_caps_on_repeats(cap, most):
    pairs, mono = weighed(p1=1, m1=1)
    sources = (pairs, mono.model_copy(update={"max_repeats": cap}))
    study = study_of(sources=sources, training=Training(allow_repeats=True))
    params = baseline_recipes(SPACE, study, {"p1": 10, "m1": 1000})["uniform"]
    counts = [part.count for part in plan(SPACE.recipe(params), sources)]
    assert counts[0] == counts[1] and most - 2 <= counts[0] <= most


def test_the_uniform_baseline_stays_what_it_is_in_the_journal(tmp_path):
    sources = weighed(p1=9, p2=1, m1=1)
    for reopen in (False, True):
        folder = tmp_path / str(reopen)
        folder.mkdir()
        jobs = run(folder, 8, reopen, sources=sources)
        assert [j.role for j in jobs[:4]] == REFERENCES
        weights = [j.recipe.source_weights for j in jobs]
        assert weights == ["study"] * 3 + ["equal"] + ["study"] * 4
