"""Ways in which translations fail, each rule worked out by hand in both forms."""

import json
import subprocess
import sys

import pytest
from public_files import WMT, needs

from mtray.cli import main
from mtray.data.languages import Guess, candidates, identify, knows, other_language
from mtray.errors import EvaluationError
from mtray.evaluation.metrics.output_failures import (
    FORMS,
    halves,
    judge,
    length_label,
    oscillates,
    repeats_adjacent,
    tokens,
    without_punctuation,
)

SOURCE = "Die Regierung hat gestern ein neues Gesetz für die Schulen beschlossen."
REFERENCE = "The government passed a new law for the schools yesterday."


def one(output, source=SOURCE, reference=REFERENCE, pair=("de", "en")):
    """(strict labels, coded labels) of one output."""
    found = judge([source], [output], [reference], *pair).labels
    return found["strict"][0], found["coded"][0]


def test_a_good_translation_has_no_label():
    assert one("Yesterday the government passed a new law for schools.") == ((), ())


@pytest.mark.parametrize(
    ("words", "coded", "strict"),
    [
        ("a very very good day", True, False),  # two adjacent and one more
        ("this is very very", False, False),  # the two end the text
        ("so it is so it is here", True, False),
        ("no no no", True, False),  # three, but not six tokens
        ("no no no no no", True, False),
        ("no no no no no no", True, True),  # six tokens
        ("a b a b", False, False),
        ("a b a b a b", True, True),  # three times two
        ("x a b c a b c a b c", True, True),
        ("a b c d e f g " * 3, True, False),  # n 7 is over the limit
        ("a b c d e f " * 3, True, True),
        ("a b c d e f " * 2, False, False),
        ("a b c a b d a b c", False, False),
        ("", False, False),
    ],
)
def test_repetition_by_hand(words, coded, strict):
    assert repeats_adjacent(words.split()) is coded
    assert oscillates(words.split()) is strict


def test_very_very_good_fires_as_coded_only():
    output = "The government passed a very very good new law for schools yesterday."
    assert one(output) == ((), ("oscillation",))


def test_what_the_reference_repeats_is_no_oscillation():
    assert one("No, no, no, no, no, no!", "Nein, nein, nein, nein, nein, nein!",
               "No! No! No! No! No! No!")[0] == ()  # fmt: skip


def test_chinese_is_taken_by_characters():
    assert tokens("我很 好。", segmented=False) == ["我", "很", "好"]
    source, reference = "I am very, very happy today.", "我今天非常非常高兴。"
    # 非常非常 and one more character: as coded; twice is not three times
    strict, coded = one("我今天非常非常高兴。", source, reference, ("en", "zh"))
    assert strict == () and "oscillation" in coded
    strict, _ = one("我今天非常非常非常高兴。", source, reference, ("en", "zh"))
    assert strict == ("oscillation",)
    # ten characters of reference: four are too few and twenty-one too many, in one word each
    assert one("我很高兴。", source, reference, ("en", "zh"))[0] == ("under_translation",)
    long = "今天早上我和我的老朋友一起去公园散步聊天。我很高兴。"
    assert "over_translation" in one(long, source, reference, ("en", "zh"))[0]
    assert "over_translation" in one(long, source, reference, ("en", "zh"))[1]


def test_brackets():
    plain = "The government [of Saxony] passed a new law for the schools yesterday."
    assert one(plain) == ((), ("template",))
    tagged = "The government passed a new law for schools yesterday. [German]: Die"
    assert one(tagged)[0] == ("template",)
    assert one("The government passed [a new law for the schools yesterday.")[1] == ()


def test_a_copy_is_one_unless_the_reference_is_near_the_source():
    strict, coded = one(SOURCE)
    assert strict == ("copy", "off_target")
    # both halves are in the source language: not off target, as coded
    assert coded == ("copy",)
    name = "Angela Merkel, Emmanuel Macron, Boris Johnson"
    assert one(name, name, name)[0] == ()
    assert "copy" in one(name, name, name)[1]


def test_a_chinese_copy_is_seen_by_characters():
    source = "我们明天上午九点开会请不要迟到。"
    near = "我们明天上午九点开会请你们不要迟到。"
    strict, coded = one(
        near, source, "The meeting is at nine tomorrow; don't be late.", ("zh", "en")
    )
    assert strict[0] == "copy" and "copy" not in coded


def test_source_language_without_copying_is_off_target_in_the_strict_form_only():
    output = "Gestern wurde von den Ministern etwas über Schulen entschieden."
    assert one(output) == (("off_target",), ())


def test_half_in_another_language():
    output = "The government passed a new law Le gouvernement a voté une loi"
    assert one(output)[1] == ("off_target",)


def test_one_word_has_an_empty_half_as_coded():
    assert halves("Ja, das geht so!") == ("Ja das", "geht so")
    assert halves("eins zwei drei") == ("eins", "zwei drei")
    assert halves("政府通过了新法律。") == ("", "政府通过了新法律")
    strict, coded = one(
        "政府昨天通过了新的学校法律。", REFERENCE, "政府昨天通过了一项学校新法。", ("en", "zh")
    )
    assert strict == () and coded == ("off_target",)


def test_lengths():
    assert length_label(4, 8) == ()
    assert length_label(3, 7) == ("under_translation",)  # 3 < 3.5
    assert length_label(16, 8) == ()
    assert length_label(17, 8) == ("over_translation",)
    assert one("The government passed it.") == (("under_translation",), ("under_translation",))


def test_empty_is_its_own_kind_in_the_strict_form():
    for output in ("", "  ", "…!"):
        assert one(output)[0] == ("empty",)
    # no words: neither half has a language, and 0 < half of the reference's
    assert one("")[1] == ("off_target", "under_translation")
    assert one("!", "?!", "?!")[0] == ()


def test_all_labels_and_the_first():
    outputs = [SOURCE, REFERENCE, "", "no no no no no no no"]
    found = judge([SOURCE] * 4, outputs, [REFERENCE] * 4, "de", "en")
    counts = found.counts()
    assert found.labels["strict"][0] == ("copy", "off_target")
    assert counts["strict.copy"] == counts["strict.first.copy"] == 1
    assert counts["strict.off_target"] == 1 and counts["strict.first.off_target"] == 0
    assert counts["strict.empty"] == counts["strict.oscillation"] == 1
    shares = {k: m.point for k, m in found.measurements("strict").items()}
    assert shares["any"] == 0.75 and shares["empty"] == 0.25 and shares["over_translation"] == 0
    assert set(shares) == {*FORMS["strict"], "any"}
    firsts = sum(v for k, v in counts.items() if k.startswith("strict.first."))
    assert firsts == 3


def test_marks_of_indic_scripts_stay():
    assert without_punctuation("हिन्दी, है।") == "हिन्दी  है "
    assert tokens("हिन्दी, है।", True) == ["हिन्दी", "है"]


def test_a_language_that_the_detector_does_not_know_is_not_judged():
    assert not knows("ha") and knows("uk")
    found = judge([REFERENCE], ["Gwamnati ta zartar da sabuwar doka."],
                  ["Gwamnati ta zartar da sabuwar doka."], "en", "ha")  # fmt: skip
    assert "off_target" not in found.kinds["strict"]
    assert "off_target" not in found.measurements("strict")
    assert "strict.off_target" not in found.counts()


@pytest.mark.parametrize("sizes", [(1, 2, 2), (2, 2, 1), (0, 0, 0)])
def test_bad_input(sizes):
    a, b, c = (["x"] * n for n in sizes)
    with pytest.raises(EvaluationError, match="equally many of each"):
        judge(a, b, c, "de", "en")


SENTENCES = {
    "zh": ["你好。", "我不知道。", "今天天气很好。", "政府宣布了新的政策,以应对气候变化。"],
    "ja": ["わかりません。", "駅はどこですか。", "政府は新しい政策を発表した。", "大丈夫です。"],
    "hi": ["नमस्ते।", "मुझे नहीं पता।", "सरकार ने नई नीति की घोषणा की।", "क्या तुमने खाना खाया?"],
    "uk": ["Я не знаю, що робити.", "Ми їдемо до Києва завтра вранці."],
}


@pytest.mark.parametrize("language", SENTENCES)
def test_languages_and_short_strings(language):
    texts = SENTENCES[language]
    guesses = identify(texts, candidates(language, "en"))
    assert [g.language for g in guesses] == [language] * len(texts)
    for text, guess in zip(texts, guesses, strict=True):
        assert not other_language(text, guess, language)
        # another script is certain however short the text
        assert other_language(text, guess, "en") or language == "uk"


def test_what_is_too_short_to_judge():
    assert other_language("Comamos.", Guess("pt", 0.79), "es") is False
    assert other_language("Comamos.", Guess("pt", 0.80), "es") is True
    twenty = "abcdefghij klmnopqrst"
    assert other_language(twenty, Guess("pt", 0.5), "es") is True
    assert other_language(twenty[:-1], Guess("pt", 0.5), "es") is False
    assert other_language(twenty, Guess("es", 1.0), "es") is False
    assert other_language("123", identify(["123"], ("de", "en"))[0], "en") is False
    # Han characters alone are Chinese and Japanese
    assert other_language("東京都知事選挙", Guess("zh", 1.0), "ja") is False
    assert other_language("東京都知事選挙", Guess("zh", 1.0), "en") is True
    assert (
        other_language("我不知道他昨天晚上为什么没有回家我们都很担心", Guess("zh", 1.0), "ja")
        is True
    )


@needs(WMT)
def test_human_references_hardly_fail():
    path = WMT / "test.de-en.json"
    rows = [r["translation"] for r in json.loads(path.read_text(encoding="utf-8"))[::10]]
    sources, references = [r["de"] for r in rows], [r["en"] for r in rows]
    good = judge(sources, references, references, "de", "en").measurements("strict")
    assert good["any"].point < 0.02
    copied = judge(sources, sources, references, "de", "en").measurements("strict")
    assert copied["copy"].point > 0.98 and copied["off_target"].point > 0.9


def test_command(tmp_path, capsys):
    texts = {"hyp": [SOURCE, REFERENCE], "src": [SOURCE] * 2, "ref": [REFERENCE] * 2}
    for name, lines in texts.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = [x for n in texts for x in (f"--{n}", str(tmp_path / n))]
    languages = ["--source-language", "de", "--target-language", "en"]
    assert main(["score", "failures", *files, *languages, "--bootstrap", "100"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["strict.copy"]["value"] == 0.5
    assert found["scores"]["coded.off_target"]["value"] == 0
    assert found["counts"]["strict.first.copy"] == 1
    (tmp_path / "ref").write_text("one line\n", encoding="utf-8")
    assert main(["score", "failures", *files, *languages]) == 2
    assert "equally many lines" in capsys.readouterr().err
    assert main(["score", "failures", *files, *languages[:-1], "xx"]) == 2
    assert "is not in ISO 639" in capsys.readouterr().err


def test_importing_is_light():
    code = (
        "import sys, mtray.evaluation.metrics.output_failures\n"
        "heavy = {'torch', 'lingua', 'sacrebleu', 'ray'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
