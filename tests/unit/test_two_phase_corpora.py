"""The data of the small two-phase study."""

from mtray.data.templates import translation_prompt
from mtray.embedded.two_phase_corpora import TEMPLATE, build_tables, phase_of

PAIRS = [{"en": f"Sentence {i // 2}.", "uk": f"Речення {i}."} for i in range(400)]


def test_no_english_sentence_is_in_both_phases():
    tables = build_tables(PAIRS, [])
    sides = [{row["en"] for row in tables[name]} for name in ("phase-1", "phase-2")]
    assert sides[0] | sides[1] == {row["en"] for row in PAIRS} and not sides[0] & sides[1]
    assert min(map(len, sides)) > 70, "about half of 200"
    assert phase_of("A b") == phase_of(" a B ")


def test_replay_is_the_english_version_of_phase_2():
    tables = build_tables(PAIRS, [])
    first = tables["phase-2"][0]
    expected = {
        "prompt": translation_prompt(first["uk"], "uk", "en", TEMPLATE),
        "target": first["en"],
    }
    assert tables["english"][0] == expected
    assert len(tables["english"]) == len(tables["phase-2"])


def test_no_replayed_prompt_holds_a_tested_sentence():
    phase_2 = build_tables(PAIRS, [])["phase-2"]
    tested = [phase_2[0]["uk"].upper(), f"  {phase_2[1]['uk']}", "Немає в корпусі."]
    tables = build_tables(PAIRS, tested)
    assert tables["phase-2"] == phase_2, "the filters of the study drop pairs"
    targets = [row["target"] for row in tables["english"]]
    assert targets == [row["en"] for row in phase_2[2:]]
