"""Each filter on rows worked out by hand; counts sum to the rows read; leakage is refused."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mtray.data.evaluation_texts import EvaluationText
from mtray.data.filter_counts import KEPT, REASONS
from mtray.data.filters import RowFilter, build_filter, filters_of
from mtray.data.languages import Guess
from mtray.data.leakage import EvaluationIndex
from mtray.errors import DataError
from mtray.schema import Filters, Source, Study

PAIRS = Source(name="p", kind="parallel", languages=("en", "de"), path={"en": "a", "de": "b"})
MONO = Source(name="m", kind="mono", languages=("en",), path="mono.txt")
REPLAY = Source(name="r", kind="replay", path="r.jsonl")


def row_filter(source=PAIRS, index=None, **options):
    return RowFilter(source, Filters(**options), index)


def pairs(*found):
    return [{"source": a, "target": b} for a, b in found]


def run(filters, rows):
    """(kept rows as tuples of their texts, counts)."""
    return [tuple(row.values()) for row in filters.kept(rows)], filters.counts


def test_only_empty_rows_go_by_default():
    rows = pairs(("a", "b"), ("", "b"), ("a", " \t\u00a0"), ("a", "b"), ("a\x00", "a\x00"))
    kept, counts = run(row_filter(), rows)
    assert kept == [("a", "b"), ("a", "b"), ("a\x00", "a\x00")]
    assert counts == {"kept": 3, "empty": 2}
    assert run(row_filter(empty=False), rows)[1] == {"kept": 5}


@pytest.mark.parametrize("bad", ["\x00", "\x1b[1m", "\x85", "\ufffd", "\ufeff", "\ud800", "\uffff"])
def test_control_characters(bad):
    _, counts = run(row_filter(control_characters=True), pairs(("good", f"b{bad}d")))
    assert counts == {"kept": 0, "control_characters": 1}


def test_tabs_line_ends_joiners_and_emoji_are_no_control_characters():
    rows = pairs(("a\tb\r\nc", "क्\u200dष \u200f👩\u200d🔬"))
    assert run(row_filter(control_characters=True), rows)[1] == {"kept": 1}


def test_lengths_have_two_ends_that_are_allowed():
    rows = pairs(("ab", "abc"), ("a", "abc"), ("ab", "abcde"), ("ab", "abcd"))
    kept, counts = run(row_filter(characters={"at_least": 2, "at_most": 4}), rows)
    assert kept == [("ab", "abc"), ("ab", "abcd")]
    assert counts == {"kept": 2, "characters": 2}
    rows = pairs(("one two", "eins"), ("one", "eins zwei drei"))
    assert run(row_filter(words={"at_most": 2}), rows)[1] == {"kept": 1, "words": 1}


def test_length_ratio_is_of_pairs_either_way():
    rows = pairs(("ab", "abcdef"), ("abcdefg", "ab"), (" ab ", "abcd"))
    assert run(row_filter(length_ratio=3), rows)[1] == {"kept": 2, "length_ratio": 1}
    prompts = [{"prompt": "a long question indeed", "target": "no"}]
    assert run(row_filter(REPLAY, length_ratio=3, identical=True), prompts)[1] == {"kept": 1}


def test_identical_but_for_case_and_white_space():
    rows = pairs(("Hotel  Berlin", "hotel berlin "), ("Hotel", "Hotels"))
    assert run(row_filter(identical=True), rows)[1] == {"kept": 1, "identical": 1}


@pytest.mark.parametrize(
    ("which", "kept"),
    [
        ("row", [("a", "x"), ("a", "y"), ("b", "x"), ("ab", "")]),
        ("source", [("a", "x"), ("b", "x"), ("ab", "")]),
        ("target", [("a", "x"), ("a", "y"), ("ab", "")]),
    ],
)
def test_of_duplicates_the_first_stays(which, kept):
    rows = pairs(("a", "x"), ("a", "y"), ("b", "x"), ("a", "x"), ("ab", ""))
    assert run(row_filter(duplicates=which, empty=False), rows)[0] == kept


def test_sides_are_told_apart():
    rows = pairs(("ab", "c"), ("a", "bc"))
    assert run(row_filter(duplicates="row"), rows)[1] == {"kept": 2}


def test_a_row_that_fails_otherwise_is_no_first_occurrence():
    rows = pairs(("a", "much too long"), ("a", "x"), ("a", "y"))
    kept, counts = run(row_filter(duplicates="source", characters={"at_most": 5}), rows)
    assert kept == [("a", "x")]
    assert counts == {"kept": 1, "characters": 1, "duplicates": 1}


def test_near_duplicates_of_kept_rows_go():
    text = "The quick brown fox jumps over the lazy dog while the band plays on and on"
    rows = [{"text": text}, {"text": text.upper() + "!"}, {"text": "Something else altogether"}]
    kept, counts = run(row_filter(MONO, near_duplicates=0.8), rows)
    assert kept == [(text,), ("Something else altogether",)]
    assert counts == {"kept": 2, "near_duplicates": 1}


GERMAN_ENGLISH = ("Das ist ganz sicher ein Satz.", "This is certainly an English sentence.")


@pytest.mark.parametrize("mode", ["exact", "quick"])
def test_either_side_in_another_language_goes(mode):
    english, german = "This is certainly an English sentence.", "Das ist ganz sicher ein Satz."
    russian = "Это предложение написано по-русски."
    rows = pairs((english, german), (german, german), (english, russian), ("12:30", "3.5"))
    kept, counts = run(row_filter(wrong_language=mode), rows)
    assert kept == [(english, german), ("12:30", "3.5")]
    assert counts == {"kept": 2, "wrong_language": 2}


def test_the_languages_of_the_study_are_told_apart(tmp_path):
    """Lingua has Ukrainian text in a Russian corpus for Russian unless it may be Ukrainian."""
    ukrainian = [{"text": "Я не знаю, що це за їжа, але вона дуже смачна."}]
    russian = MONO.model_copy(update={"languages": ("ru",)})
    alone = RowFilter(russian, Filters(wrong_language="exact"), None)
    assert run(alone, ukrainian)[1] == {"kept": 1}
    both = study(tmp_path, filters={"wrong_language": "exact"})
    other = MONO.model_copy(update={"languages": ("uk",), "name": "uk"})
    both = both.model_copy(update={"sources": (*both.sources, other)})
    assert run(build_filter(russian, both), ukrainian)[1] == {"kept": 0, "wrong_language": 1}


def test_the_quick_check_asks_exactly_only_of_suspects(monkeypatch):
    asked = []

    def identify(texts, among, quick=False):
        asked.append((quick, list(texts)))
        return [Guess("de" if "ü" in text else "en", 1.0) for text in texts]

    monkeypatch.setattr("mtray.data.language_check.identify_many", identify)
    rows = [{"text": "fine"}, {"text": "für"}]
    assert run(row_filter(MONO, wrong_language="quick"), rows)[0] == [("fine",)]
    assert asked == [(True, ["fine", "für"]), (False, ["für"])]


def test_what_has_no_known_language_is_said_not_to_be_looked_at():
    filters = row_filter(REPLAY, wrong_language="exact")
    assert run(filters, [{"prompt": "Hallo", "target": "Guten Tag"}])[1] == {"kept": 1}
    assert "not looked at" in "\n".join(filters.lines())
    filters = row_filter(REPLAY.model_copy(update={"languages": ("de",)}), wrong_language="exact")
    rows = [{"prompt": "Hallo", "target": text} for text in GERMAN_ENGLISH]
    assert run(filters, rows)[1] == {"kept": 1, "wrong_language": 1}
    assert filters.notes == []


def test_tasks_that_fetch_their_own_documents_are_named(tmp_path):
    harness = {"hella": {"measure": "lm_eval", "task": "hellaswag"}}
    made = study(tmp_path, abilities=harness)
    assert build_filter(made.sources[0], made).notes == ["leakage: not checked in hella"]
    off = study(tmp_path, abilities=harness, filters={"leakage": None, "shots_leakage": None})
    assert build_filter(off.sources[0], off).notes == []


INDEX = EvaluationIndex(
    [
        EvaluationText("Good morning, Tom!", "dev.en: line 1"),
        EvaluationText("Shown but not scored.", "shots.tsv: row 7", shown=True),
    ]
)


def test_leakage_is_an_error_that_says_where_and_how_many():
    filters = row_filter(index=INDEX)
    rows = pairs(("x", "y"), ("good morning TOM", "z"), ("x", "Good morning, Tom"))
    rows += pairs(("shown but not scored", "v"))
    kept = []
    with pytest.raises(DataError) as caught:
        kept += filters.kept(rows)
    message = str(caught.value)
    assert "source 'p': 2 of 4 rows overlap with evaluation sets" in message
    assert "a: row 2, source: 'Good morning, Tom!' of dev.en: line 1" in message
    assert "b: row 3, target: " in message
    assert "leakage: drop" in message
    assert "shots.tsv" not in message
    assert kept == []  # of a source that is refused nothing need be made
    assert filters.counts == {"kept": 2, "leakage": 2}


def test_leakage_can_be_dropped_allowed_or_not_looked_for():
    rows = pairs(("good morning tom", "z"), ("u", "shown, but NOT scored"), ("u", "v"))
    filters = row_filter(index=INDEX, leakage="drop")
    kept, counts = run(filters, rows)
    assert kept == [("u", "shown, but NOT scored"), ("u", "v")]
    assert counts == {"kept": 2, "leakage": 1}
    assert filters.overlaps == {"leakage": 1, "shots_leakage": 1}
    said = "\n".join(filters.lines())
    assert "kept although also in a file that examples in prompts are drawn from: 1" in said
    filters = row_filter(index=INDEX, leakage="allow", shots_leakage="drop")
    assert run(filters, rows)[1] == {"kept": 2, "shots_leakage": 1}
    assert filters.overlaps == {"leakage": 1, "shots_leakage": 1}
    filters = row_filter(index=INDEX, leakage=None, shots_leakage=None)
    assert run(filters, rows)[1] == {"kept": 3}
    assert filters.overlaps == {}


def test_a_row_with_a_scored_and_a_shown_text_is_leakage():
    rows = pairs(("Shown but not scored", "good morning tom"))
    assert run(row_filter(index=INDEX, leakage="drop"), rows)[1] == {"kept": 0, "leakage": 1}


def test_shots_that_leak_are_an_error_where_that_is_asked_for():
    with pytest.raises(DataError, match=r"1 of 1 rows overlap with files of shots"):
        list(
            row_filter(index=INDEX, shots_leakage="error").kept(
                pairs(("u", "Shown but not scored"))
            )
        )


TEXTS = st.text(alphabet="ab \x00", max_size=6)
ALL = Filters(
    control_characters=True, characters={"at_most": 4}, words={"at_most": 2}, length_ratio=2,
    identical=True, leakage="drop", duplicates="row", near_duplicates=0.8,
)  # fmt: skip
SMALL_INDEX = EvaluationIndex([EvaluationText("a b a", "x: row 1")])


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=60))
def test_counts_sum_to_the_rows_read_and_kept_rows_are_counted(found):
    filters = RowFilter(PAIRS, ALL, SMALL_INDEX)
    kept = list(filters.kept(pairs(*found)))
    assert sum(filters.counts.values()) == len(found)
    assert filters.counts[KEPT] == len(kept)
    assert filters.counts.keys() <= {KEPT, *REASONS}


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=60), st.randoms())
def test_what_is_kept_depends_on_order_only_by_which_of_equals_is_first(found, rng):
    options = ALL.model_copy(update={"near_duplicates": None})
    shuffled = list(found)
    rng.shuffle(shuffled)
    kept = [{tuple(r.values()) for r in RowFilter(PAIRS, options, SMALL_INDEX).kept(pairs(*rows))}
            for rows in (found, shuffled)]  # fmt: skip
    assert kept[0] == kept[1]


def test_chunks_change_nothing(monkeypatch):
    rng = random.Random(3)
    words = [f"word{i}" for i in range(30)]
    rows = [{"text": " ".join(rng.choices(words, k=6))} for _ in range(400)]
    rows += [{"text": row["text"] + "."} for row in rows[:100]] + rows[:50]
    options = {"duplicates": "row", "near_duplicates": 0.8}
    whole = run(row_filter(MONO, **options), rows)
    monkeypatch.setattr("mtray.data.filters.CHUNK_ROWS", 7)
    assert run(row_filter(MONO, **options), rows) == whole
    assert whole[1]["duplicates"] == 50
    assert whole[1]["near_duplicates"] >= 80


def study(tmp_path: Path, **more) -> Study:
    (tmp_path / "dev.tsv").write_text("en\tde\nA good day to you.\tEinen guten Tag.\n")
    quality = {"direction": "en-de", "path": str(tmp_path / "dev.tsv")}
    source = PAIRS.model_dump() | {"filters": more.pop("own", {})}
    return Study(
        name="s",
        sources=(source,),
        evaluation={
            "comet": "embedded",
            "quality": [quality],
            "abilities": more.pop("abilities", {}),
        },
        **more,
    )


def test_a_source_changes_single_filters_of_the_study(tmp_path):
    made = study(tmp_path, filters={"identical": True, "leakage": "drop"}, own={"leakage": "allow"})
    again = Study.model_validate(made.model_dump(exclude_defaults=True))
    for found in (made, again):
        assert filters_of(found.sources[0], found) == Filters(identical=True, leakage="allow")


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"ratio": 3}, "unknown key 'ratio'; allowed: empty, control_characters"),
        ({"near_duplicates": 0.1}, "near_duplicates: .*found 0.1"),
        ({"words": {"at_least": 3, "at_most": 2}}, "words: at_least 3 is more than at_most 2"),
        ({"words": {}}, "words: needs at_least or at_most"),
    ],
)
def test_mistakes_are_named(tmp_path, own, said):
    with pytest.raises(ValidationError, match=said):
        study(tmp_path, own=own)


def test_the_filter_of_a_study_knows_its_evaluation(tmp_path):
    made = study(tmp_path)
    filters = build_filter(made.sources[0], made)
    with pytest.raises(DataError, match=r"dev\.tsv: row 1"):
        list(filters.kept(pairs(("Hello", "einen GUTEN Tag"))))
    changed = study(tmp_path, own={"duplicates": "row"})
    signatures = {build_filter(s.sources[0], s).signature for s in (made, changed, study(tmp_path))}
    assert len(signatures) == 2
    (tmp_path / "dev.tsv").write_text("en\tde\nAnother good day.\tNoch ein guter Tag.\n")
    assert build_filter(made.sources[0], made).signature not in signatures
