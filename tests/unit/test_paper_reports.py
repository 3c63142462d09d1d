"""The reports of papers, on made-up trials with values that are worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from records_factory import make_record, make_score, make_study

from mtray.analysis.rank_prediction import rank_correlation
from mtray.errors import RunError
from mtray.papers import noisy_data, paradox
from mtray.papers.made_noise import dictionary, from_memory, words
from mtray.papers.preset import load_preset
from mtray.papers.rank_test import permutation_p, rank_test
from mtray.papers.results import PaperResults, RunResults, difference_text, of, read_run
from mtray.report.differences import Difference
from mtray.report.groups import no_draws
from mtray.schema import AbilitySpec, Evaluation, QualitySet, Recipe
from mtray.search_space.parameters import IntRange
from mtray.search_space.space import Space

SPACE = Space(parameters={"parallel_size": IntRange(type="int", low=1, high=9000)})
RATE = 0.0005


def evaluation(*directions):
    sets = tuple(QualitySet(direction=d, path="d.tsv") for d in directions)
    abilities = {"formality": AbilitySpec(measure="choice", path="a.jsonl")}
    return Evaluation(comet="embedded", quality=sets, abilities=abilities)


def run_of(rows, directions=("en-uk",), half=0.001):
    """A run whose base model scores 0.5 in everything; `rows` are recipes, replicates (0 or more)
    and gains by name."""
    study = make_study(evaluation=evaluation(*directions))
    names = ["quality", "retention", "formality", *(f"comet.{d}" for d in directions)]
    names += [f"failures.off_target.{d}" for d in directions]
    records = [trial(-1, {}, 0, dict.fromkeys(names, 0.0), half, "base")]
    for number, (recipe, replicate, gains) in enumerate(rows):
        records.append(trial(number, recipe, replicate, gains, half))
    return RunResults(Path("made-up"), study, SPACE, tuple(records), no_draws)


def trial(number, recipe, replicate, gains, half, role="search"):
    scores = {name: make_score(0.5 + gain, half) for name, gain in gains.items()}
    objectives = {n: scores.pop(n, make_score(0.5, half)) for n in ("quality", "retention")}
    return make_record(
        number, role=role, recipe=Recipe(parallel_size=0) if role == "base" else
        Recipe(**{"parallel_size": 256, "learning_rate": RATE} | recipe),
        objectives=objectives, scores=scores, seed=1 + replicate, replicate=replicate,
    )  # fmt: skip


PERMUTED = {
    "three": ([1, 2, 3], [1, 2, 3], 2 / 6),
    "reversed": ([1, 2, 3, 4], [4, 3, 2, 1], 2 / 24),
    # the two smallest values must stand at the two smaller sizes, or the two greatest
    "ties": ([5, 5, 9, 9], [1, 2, 3, 4], 8 / 24),
    "none": ([1, 1, 1], [1, 2, 3], 1.0),
}


@pytest.mark.parametrize(("x", "y", "p"), PERMUTED.values(), ids=PERMUTED)
def test_the_permutation_test_counts_every_order(x, y, p):
    assert permutation_p(np.array(x), np.array(y)) == pytest.approx(p)


def test_with_many_trainings_random_orders_are_drawn_and_uniform_without_an_effect():
    x = np.arange(12.0)
    assert permutation_p(x, -x) == pytest.approx(1 / 10_001)
    rng = np.random.default_rng(1)
    found = [permutation_p(x[:7], rng.normal(size=7)) for _ in range(60)]
    assert 0.3 < np.mean(found) < 0.7
    assert np.mean(np.array(found) < 0.2) < 0.45


def test_the_rank_test_is_spearmans_with_an_interval_that_holds_it():
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 2, 3, 5, 4])
    found = rank_test(x, y)  # 1 - 6 * 2 / (5 * 24)
    assert found.rho == pytest.approx(0.9) == float(rank_correlation(x, y))
    assert found.low < 0.9 <= found.high <= 1 and found.n == 5
    noisy = rank_test(x, y, y + np.random.default_rng(1).normal(0, 3, (500, 5)))
    assert noisy.low < found.low
    assert rank_test(x, -x).text() == "-1.00, p = .017, 5 trainings"  # 2 / 5!
    six = np.arange(6.0)
    assert rank_test(six, six).text() == "+1.00 [+1.00, +1.00], p = .003, 6 trainings"


SIZES = [512, 1024, 2560, 5120]
PARADOX = [
    (
        {"parallel_size": size, "mono_ratio": ratio},
        seed,
        # formality falls by .1 a size without monolingual text, and by a quarter of that with it
        {
            "quality": 0.02 * place, "comet.en-uk": 0.02 * place, "retention": -0.05 * place,
            "formality": -0.1 * place * (0.25 if ratio else 1) - 0.002 * seed,
        },
    )
    for seed in (0, 1)
    for place, size in enumerate(SIZES, 1)
    for ratio in (0.0, 1.0)
]  # fmt: skip


def test_the_paradox_is_reported_by_size_with_correlation_and_the_effect_of_mono():
    run = run_of(PARADOX)
    assert [r.recipe.parallel_size for r in run.where(mono_ratio=0.0)] == SIZES
    by_size = paradox.size_sheet(run, "By size")
    assert by_size.head == ["recipe", "seeds", "quality", "retention", "formality"]
    assert by_size.rows[0] == ["untouched", "-", "0.500", "0.500", "0.500"]
    assert [row[:2] for row in by_size.rows[1:4]] == [
        ["512 pairs", "2"], ["512 pairs, mono 1:1", "2"], ["1,024 pairs", "2"],
    ]  # fmt: skip
    assert by_size.rows[1][4].startswith("-0.101 [")  # the mean of -.1 and -.102
    correlations = {row[0]: row for row in paradox.correlation_sheet(run).rows}
    # two trainings at each size differ: the sizes' ranks have 40 / 42 of the variance of 8 values
    assert correlations["formality"][1].startswith("-0.98 [-0.99, ")
    assert correlations["formality"][1].endswith("p < .001, 8 trainings")
    assert correlations["retention"][1].startswith("-1.00 [-1.00, ")
    assert correlations["quality"][1].startswith("+1.00 ")
    assert correlations["formality"][3].startswith("-.55, p < .001")
    assert correlations["retention"][3] == "not published in numbers"
    mono = paradox.mono_sheet(run)
    assert [row[0] for row in mono.rows] == ["512", "1,024", "2,560", "5,120"]
    assert mono.rows[3][3].startswith("+0.300 [")  # .4 less a quarter of it


@pytest.mark.parametrize("done", [1, 3, 5])
def test_the_paradox_is_reported_while_it_runs(done):
    """Without a correlation of trainings that are too few, or of none."""
    rows = [(recipe, seed, gains) for recipe, seed, gains in PARADOX][:done]
    alone = sum(recipe["mono_ratio"] == 0 for recipe, *_ in rows)
    for _, *cells in paradox.correlation_sheet(run_of(rows)).rows:
        few = [f"{n} training{'s' * (n != 1)}, too few" for n in (alone, done - alone)]
        assert cells[1] == few[1]
        assert cells[0] == few[0] if alone < 3 else cells[0].endswith("3 trainings")


RATIOS = {0.0: -0.4, 0.5: -0.3, 1.0: -0.1, 2.0: 0.0}


def test_the_critical_ratio_is_where_half_of_the_loss_remains():
    rows = [
        ({"mono_ratio": ratio}, seed, {"quality": 0.1, "retention": 0.0, "formality": gain})
        for seed in (0, 1)
        for ratio, gain in RATIOS.items()
    ]
    run = run_of(rows)
    (row,) = paradox.critical_sheet(run).rows  # quality is gained, retention unchanged
    assert row[0] == "formality"
    assert row[1].startswith("-0.400 [") and row[1].endswith(" *")
    assert row[2].startswith("0.75 [")  # .3 at .5 and .1 at 1: .2 is half-way
    assert row[2].endswith("P(none) 0.00")
    assert paradox.critical_text(run, "formality", -0.5).startswith("none up to 2 [none up to 2")


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Difference(-0.05, -0.07, -0.03), "-0.050 [-0.070, -0.030] *"),
        (Difference(0.01, -0.02, 0.04), "+0.010 [-0.020, +0.040]"),
        (None, "-"),
    ],
)
def test_only_what_the_interval_shows_is_marked(found, text):
    assert difference_text(found) == text


FOUR = ("en-uk", "uk-en", "en-es", "es-en")


def test_directions_never_trained_on_are_averaged_apart():
    gains = dict(zip(FOUR, (0.3, 0.1, 0.2, 0.0), strict=True))
    values = {f"comet.{d}": gain for d, gain in gains.items()}
    values |= {f"failures.off_target.{d}": -0.2 for d in FOUR}
    shares = {"direction.en-uk": 0.5, "direction.en-es": 0.5, "direction.uk-en": 0.0}
    every = dict.fromkeys((f"direction.{d}" for d in FOUR), 0.25)
    run = run_of([(shares, 0, values), (every, 0, values)], FOUR)
    rows = noisy_data.unseen_sheet(run).rows
    assert rows[0][0] == "en-es, en-uk"
    assert rows[0][1].startswith("+0.250 [")  # (.3 + .2) / 2
    assert rows[0][2].startswith("+0.050 [")  # (.1 + 0) / 2
    assert rows[1][1].startswith("+0.150 [") and rows[1][2] == "-"
    misread = noisy_data.misread_sheet(run)
    assert misread.head[1:] == [f"off_target.{d}" for d in FOUR]
    assert all(cell.startswith("-0.200 [") for cell in misread.rows[1][1:])


def test_the_gain_per_doubling_and_the_papers_means_stand_beside_the_sizes():
    rows = [
        ({"parallel_size": size}, 0, {"quality": gain, "comet.en-uk": gain})
        for size, gain in ((16, 0.0), (32, 0.1), (1024, 0.15))
    ]
    run = run_of(rows)
    assert "from 32 to 1,024 pairs: quality +0.0100 [" in noisy_data.slope_text(run)  # .05 / 5
    assert [row[-1] for row in noisy_data.sizes_sheet(run).rows] == [
        "not published", "not published", "82.29", "83.97",
    ]  # fmt: skip


def test_noise_is_compared_with_clean_pairs():
    noisy = {"noise_rate": 1.0, "noise_side": "target", "noise_level": "word"}
    run = run_of([
        ({"noise_rate": 0.0}, 0, {"comet.en-uk": 0.2}), (noisy, 0, {"comet.en-uk": 0.05})
    ])  # fmt: skip
    rows = noisy_data.noise_sheet(run).rows
    assert [row[0] for row in rows] == ["clean", "target, by word, 100%"]
    assert rows[1][1].startswith("+0.050 [") and rows[1][2].startswith("-0.150 [")


@pytest.mark.parametrize("paper", ["2404.14122", "2405.20089"])
def test_every_part_of_a_report_is_optional_and_figures_are_png(paper):
    from mtray.papers.reports import CODE

    runs = {"sizes": run_of(PARADOX)}
    for found in ({}, runs):
        report = CODE[paper].report(PaperResults(load_preset(paper), "tiny", found))
        assert bool(report.parts) == bool(found)
        assert {name[:4] for name in report.figures.values()} <= {b"\x89PNG"}
        assert len(report.figures) == len(found)


def test_a_run_without_a_base_model_has_no_report(tmp_path, monkeypatch):
    monkeypatch.setattr("mtray.papers.results.load_bound", lambda folder: (make_study(), SPACE))
    with pytest.raises(RunError, match="the base model and one recipe must be measured first"):
        read_run(tmp_path)


def test_scores_that_are_not_measured_are_no_scores():
    assert of(make_record(), "formality") is None


def test_words_are_lower_cased_without_punctuation_and_once():
    assert words("The cat, the «Dog»!") == ["the", "cat", "dog"]


PAIRS = [
    ("The cat sleeps.", "El gato duerme."), ("A cat eats.", "Un gato come."),
    ("The dog eats.", "El perro come."), ("A dog sleeps.", "Un perro duerme."),
]  # fmt: skip


def test_a_dictionary_has_the_word_that_stands_with_a_word_most():
    assert dictionary(PAIRS) == {
        "the": "el", "a": "un", "cat": "gato", "dog": "perro", "sleeps": "duerme", "eats": "come",
    }  # fmt: skip
    assert dictionary(PAIRS[:1]) == {}  # a single pair says nothing


def test_a_memory_gives_the_translation_of_the_most_similar_other_sentence():
    memory = [*PAIRS, ("The black cat sleeps.", "El gato negro duerme.")]
    found = from_memory(["The cat sleeps.", "A dog eats", "Xyzzy.", "Plugh."], memory)
    assert found[:2] == ["El gato negro duerme.", "Un gato come."]
    assert found[2:] == [memory[2][1], memory[3][1]]  # unknown words: the memory takes turns
