"""Directions, noise, template, instructions and shots of a recipe: each row is what a study with
these settings would make of it."""

import json
from itertools import pairwise

import pytest
from records_factory import make_study
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from mtray.data.instructions import INSTRUCTIONS
from mtray.data.mixing import plan
from mtray.data.recipe_tables import held_rows
from mtray.data.rendering_checks import check_renderings
from mtray.data.store import build_store, mixed, wanted_draws, wanted_variants
from mtray.data.tables import StoredTable
from mtray.errors import ConfigError
from mtray.schema import Recipe, Source, Training
from mtray.search_space.extreme_recipes import rendering_recipes
from mtray.search_space.space import load_space


def a_token_a_byte():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=258, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet,
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


TOKENIZER = a_token_a_byte()
LETTERS = "abcdef"
ROWS = [
    {"en": f"{a}{b} {c}bad", "uk": f"{c} {b}{a} ab"}
    for a in LETTERS
    for b in LETTERS
    for c in LETTERS
] + [{"en": "ab " * 70, "uk": "dad"}, {"en": "cab", "uk": "ed " * 70}]  # too long, one with noise
SIZE = 160


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    """A source of 218 rows, with keys of its own."""
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path / "store"))
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for side in ("source", "target"):
        noisy = [f"N{side[0]} {row['en'][:4]}" for row in ROWS]
        (tmp_path / f"{side}.txt").write_text("".join(line + "\n" for line in noisy))

    def source(**keys):
        return Source(name="pairs", kind="parallel", path=str(path), languages=("en", "uk"), **keys)

    return source


def noise(folder, side="target", rate=0.0):
    return {"side": side, "level": "sentence", "rate": rate, "path": str(folder / f"{side}.txt")}


def both(folder):
    return [noise(folder, "source"), noise(folder, "target")]


def study_of(*sources, template="labels"):
    return make_study(sources=sources, template=template, training=Training(max_length=200))


def drawn(study, **values):
    """The texts that a recipe draws, and its mix."""
    recipe = Recipe.model_validate({"parallel_size": SIZE, **values})
    found, mix = mixed(study, build_store(study, TOKENIZER, recipes=[recipe]), recipe)
    return [TOKENIZER.decode(ids[1:-1]) for ids, _ in found], mix.shares[0]


DIRECTIONS = {"direction.en-uk": 0.25, "direction.uk-en": 0.75}
# the study's own key, and the recipe that asks for the same of a source that lacks it
ALIKE = {
    "one direction": ({"directions": {"uk-en": 1}}, {"direction.en-uk": 0, "direction.uk-en": 1}),
    "two directions": ({"directions": {"en-uk": 1, "uk-en": 3}}, DIRECTIONS),
    "clean": ({}, {"noise_rate": 0.0}),
    "noise": ({"noise": "target"}, {"noise_rate": 0.3}),
    "noise, side given": ({"noise": "source"}, {"noise_rate": 0.3, "noise_side": "source"}),
    "all noisy": ({"noise": 1.0}, {"noise_rate": 1.0}),
    "shots": ({"shots": (2, 2)}, {"few_shot_share": 0.5, "shots": 2}),
    "template": ({"template": "alma"}, {"template": "alma"}),
    "pool": ({"template": "pool"}, {"template": "pool", "instructions": 36}),
}


@pytest.mark.parametrize("own, asked", ALIKE.values(), ids=ALIKE)
def test_a_recipe_draws_what_a_study_with_its_settings_does(pairs, tmp_path, own, asked):
    """Bit for bit, also the rows that are too long in one rendering and not in the other."""
    keys = dict(own)
    template = keys.pop("template", "labels")
    wanted = keys.pop("noise", None)
    declared = [noise(tmp_path, "target")]
    if wanted:
        side, rate = ("target", wanted) if isinstance(wanted, float) else (wanted, 0.3)
        keys["noise"] = noise(tmp_path, side, rate)
        declared = [noise(tmp_path, side)]
    share = asked.get("few_shot_share", 0.0)
    settled = study_of(pairs(**keys), template=template)
    expected, was = drawn(settled, few_shot_share=share)
    open_study = study_of(pairs(noise=declared))
    found, now = drawn(open_study, **asked)
    assert found == expected and now.digest == was.digest
    assert (now.available, now.held, now.dropped) == (was.available, was.held, was.dropped)
    # where the study has it already, the recipe's own value changes nothing either
    again, same = drawn(settled, **asked)
    assert again == expected and same.digest == was.digest


def test_without_a_line_nothing_changes(pairs, tmp_path):
    plain, before = drawn(study_of(pairs()))
    declared, after = drawn(study_of(pairs(noise=both(tmp_path))))
    assert plain == declared and before == after
    assert (after.directions, after.noisy) == ({}, None)
    names = build_store(study_of(pairs(noise=both(tmp_path))), TOKENIZER)
    assert list(names) == ["pairs"]


def test_rows_keep_their_direction_and_noise_as_shares_rise(pairs, tmp_path):
    study = study_of(pairs(noise=both(tmp_path)))
    turned, noisy = [], []
    for share in (0.0, 0.3, 0.6, 1.0):
        texts, mix = drawn(study, **{"direction.uk-en": share, "direction.en-uk": 1 - share})
        of = {i for i, text in enumerate(texts) if text.startswith("Ukrainian")}
        assert mix.directions.get("uk-en", 0) == len(of)
        assert sum(mix.directions.values()) == SIZE and abs(len(of) - share * SIZE) < 26
        turned.append(of)
        texts, mix = drawn(study, noise_rate=share, noise_side="target")
        of = {text for text in texts if "Ukrainian: Nt" in text}
        assert mix.noisy == len(of) and abs(len(of) - share * SIZE) < 26
        noisy.append(of)
    # rows of both are the same, but for the one that is too long in a single rendering
    assert all(len(a - b) <= 1 for a, b in pairwise(turned))
    assert all(len(a - b) <= 1 for a, b in pairwise(noisy))


@pytest.mark.parametrize("side", ["source", "target"])
def test_noise_is_on_the_side_of_the_direction(pairs, tmp_path, side):
    study = study_of(pairs(noise=both(tmp_path)))
    texts, mix = drawn(study, noise_rate=1.0, noise_side=side, **DIRECTIONS)
    assert mix.noisy == SIZE and min(mix.directions.values()) > 20
    for text in texts:
        first, second = text.splitlines()
        assert ("N" in first, "N" in second) == (side == "source", side == "target")


def test_shots_and_instructions(pairs):
    study = study_of(pairs(), template="pool")
    counts = {}
    for shots in (1, 2):
        texts, mix = drawn(study_of(pairs()), few_shot_share=1.0, shots=shots)
        counts[shots] = [text.count("Ukrainian:") - 1 for text in texts]
        assert mix.few_shot == SIZE and max(counts[shots]) == shots
    used = {}
    for number in (1, 2, 5, 36):
        texts, _ = drawn(study, instructions=number)
        used[number] = [text.splitlines()[0] for text in texts]
    kinds = {number: set(lines) for number, lines in used.items()}
    assert [len(kinds[n]) for n in (1, 2, 5)] == [1, 2, 5] and len(kinds[36]) > 25
    first = [line.format(source_name="English", target_name="Ukrainian") for line in INSTRUCTIONS]
    assert kinds[5] == set(first[:5]) and kinds[2] == set(first[:2]) and kinds[1] == {first[0]}
    kept = [(few, all_of_them) for few, all_of_them in zip(used[5], used[36], strict=True)
            if all_of_them in kinds[5]]  # fmt: skip
    assert len(kept) > 9 and all(few == same for few, same in kept)


def test_the_shares_of_directions_are_those_of_the_pairs():
    """Sources of one pair divide its directions by weight; 0.1 of 100 are uk-en, 0.6 en-es."""
    sources = [
        Source(name=name, kind="parallel", path="x", languages=languages, weight=weight)
        for name, languages, weight in (
            ("web", ("en", "uk"), 1), ("news", ("uk", "en"), 3), ("es", ("en", "es"), 2),
        )
    ]  # fmt: skip
    shares = {"direction.en-uk": 0.3, "direction.uk-en": 0.1, "direction.en-es": 0.6}
    cases = {
        # own: a sixth, a half (all uk-en), a third
        (): (17, 50, 33),
        (*shares.items(), ("direction.es-en", 0)): (10, 30, 60),
        (("direction.en-uk", 1), ("direction.uk-en", 1), ("direction.en-es", 0)): (25, 75, 0),
        (("direction.en-es", 0),): (25, 75, 0),
    }
    for given, expected in cases.items():
        recipe = Recipe.model_validate({"parallel_size": 100, **dict(given)})
        assert tuple(part.count for part in plan(recipe, sources)) == expected
    nothing = dict.fromkeys((f"direction.{a}-{b}" for a, b in (["en", "uk"], ["uk", "en"])), 0)
    recipe = Recipe.model_validate({"parallel_size": 9, "direction.en-es": 0, **nothing})
    with pytest.raises(ConfigError, match="every direction of the sources has share 0"):
        plan(recipe, sources)


LINES = "parallel_size: {type: int, low: 10, high: 100}\nlearning_rate: 0.001\n"


def space_of(folder, lines, sources):
    (folder / "space.yaml").write_text(LINES + lines)
    return load_space(folder / "space.yaml", {}, sources)


def test_only_what_a_space_needs_is_tokenised(pairs, tmp_path):
    study = study_of(pairs(noise=both(tmp_path)))
    cases = {
        "direction.en-uk: {type: share}\ndirection.uk-en: {type: share}\n": (
            ["pairs", "pairs+uk-en"], ["pairs+draws"],
        ),
        "noise_rate: {type: float, low: 0, high: 0.4}\nnoise_side: target\n": (
            ["pairs", "pairs+target-sentence"], ["pairs+draws"],
        ),
        "noise_rate: 0\n": (["pairs"], []),
        "template: {type: categorical, choices: [labels, alma, pool]}\n"
        "instructions: {type: int, low: 1, high: 3, when: {template: {among: [pool]}}}\n": (
            ["pairs", "pairs+alma", *(f"pairs+pool+instructions-{n}" for n in (1, 2, 3))], [],
        ),
        "few_shot_share: {type: float, low: 0, high: 1}\nshots: {type: int, low: 2, high: 3}\n": (
            ["pairs", "pairs+few_shot-2", "pairs+few_shot-3"], [],
        ),
    }  # fmt: skip
    for lines, (stores, draws) in cases.items():
        recipes = rendering_recipes(space_of(tmp_path, lines, study.sources))
        check_renderings(recipes, study, TOKENIZER)
        assert list(wanted_variants(study, recipes)) == stores
        assert list(wanted_draws(study, recipes)) == draws


def test_a_source_holds_what_fits_however_it_is_rendered(pairs, tmp_path):
    """Of 218 rows two are too long clean, and one of these fits with noise on its long side."""
    study = study_of(pairs(noise=both(tmp_path)))
    recipe = Recipe(parallel_size=9, noise_rate=0.5, noise_side="target")
    store = build_store(study, TOKENIZER, recipes=[recipe])
    assert len(store["pairs"]) == 216 and len(store["pairs+target-sentence"]) == 217
    assert held_rows(store, ()) == {"pairs": 216}
    sent = {name: table.loaded() for name, table in store.items()}
    here, there = (mixed(study, tables, recipe)[1].shares[0] for tables in (store, sent))
    assert (there.digest, there.noisy) == (here.digest, here.noisy)
    assert isinstance(store["pairs"], StoredTable) and there.store == "sent"


WRONG = [
    ("noise_rate: 0.2\n", {}, "no parallel source of the recipe declares such noise"),
    ("noise_rate: 0.2\nnoise_level: word\n", {"noise": "both"}, r"declared: pairs: source by sent"),
    ("noise_rate: 0.2\n", {"noise": "both"}, "the recipe does not say which; add `noise_side`"),
    ("noise_side: target\n", {"noise": "both"}, "no recipe has noise; add a line for `noise_rate`"),
    (
        "noise_rate: 0.2\ndirection.en-uk: 1\ndirection.uk-en: 1\n",
        {"noise": "one"},
        "in direction en-uk and not in uk-en; add it .* for the other `side`",
    ),
    ("noise_rate: 0.2\n", {"noise": "one", "context": 1}, r"joins rows \(`context`\)"),
    ("shots: 2\n", {}, "no recipe has few-shot rows; add a line for `few_shot_share`"),
    ("instructions: 2\n", {}, "the template 'labels' uses none"),
    ("template: pool\ninstructions: 37\n", {}, "instructions goes up to 37; the pool has 36"),
    ("template: alam\n", {}, "template 'alam' is unknown; known: alma"),
    (
        "direction.en-uk: 1\ndirection.uk-en: 1\n",
        {"documents": True},
        "which depends on the direction",
    ),
]


@pytest.mark.parametrize("lines, keys, message", WRONG)
def test_what_cannot_be_rendered_is_named(pairs, tmp_path, lines, keys, message):
    given = {"both": both(tmp_path), "one": [noise(tmp_path)]}
    keys = keys | ({"noise": given[keys["noise"]]} if "noise" in keys else {})
    study = study_of(pairs(**keys))
    with pytest.raises(ConfigError, match=message):
        check_renderings(
            rendering_recipes(space_of(tmp_path, lines, study.sources)), study, TOKENIZER
        )


def test_a_direction_that_no_source_has(pairs, tmp_path):
    for lines, message in (
        ("direction.en-de: 1\n", "no parallel source has these; allowed: direction.en-uk, dir"),
        ("direction.en-uk: {type: share}\n", "a direction too, has no line; add `direction.uk-en"),
        ("direction.en-uk: 0\ndirection.uk-en: 0\n", "every direction has share 0"),
        ("direction.en-uk: {type: float, low: 0, high: 1}\n", "searched by `direction.xx-yy: {ty"),
    ):
        with pytest.raises(ConfigError, match=message):
            space_of(tmp_path, lines, [pairs()])
