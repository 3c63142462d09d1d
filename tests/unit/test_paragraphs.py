"""What becomes of a line break: the laws of `mtray.data.readers.paragraphs`, and the places that
read, ask, answer and measure."""

from functools import wraps

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import make_study
from tiny_models import byte_level, llama

from mtray.data import noise
from mtray.data.benchmarks.idioms import Dictionary
from mtray.data.instructions import INSTRUCTIONS
from mtray.data.readers.paragraphs import (
    as_read,
    continued,
    has_break,
    joined,
    line_count,
    lines_kept,
    one_line,
)
from mtray.data.templates import TEMPLATES
from mtray.data.training_prompts import build_renderer
from mtray.data.translation_prompts import CHATS, POOL, PromptBuilder, is_one_line, keeps_breaks
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Output, Request, new_tokens
from mtray.evaluation.inference.translation_requests import (
    asked_text,
    paragraph_counts,
    translation_request,
)
from mtray.evaluation.metrics.cocoa_matching import label_official
from mtray.evaluation.metrics.output_failures import judge
from mtray.schema import Source

TEXT = st.text(st.sampled_from("ab \t\n\r\u00a0\u3000\u2028\x0b"), max_size=12)
CASES = [
    # text, as read, lines kept, joined
    ("a b", "a b", "a b", "a b"),
    (" a  b\t", " a  b\t", "a b", " a  b\t"),
    ("a\nb", "a\nb", "a\nb", "a b"),
    ("a\r\nb", "a\nb", "a\nb", "a b"),
    ("a\rb", "a\rb", "a b", "a\rb"),
    ("a\n\n b  c \n", "a\n\n b  c ", "a\n\nb c", "a b  c "),
    ("\n \n  a\n\tb\n\n", "  a\n\tb", "a\nb", "  a b"),
    ("one-\n \nway", "one-\n \nway", "one-\n\nway", "one- way"),
    ("\n", "", "", ""),
    ("", "", "", ""),
]


@pytest.mark.parametrize(("text", "read", "kept", "line"), CASES)
def test_by_hand(text, read, kept, line):
    assert (as_read(text), lines_kept(text), joined(text)) == (read, kept, line)


@given(TEXT)
def test_a_text_without_a_break_is_as_it_was(text):
    text = text.replace("\n", " ")
    assert as_read(text) == joined(text) == text
    assert lines_kept(text) == one_line(text)


@given(TEXT)
def test_laws(text):
    read = as_read(text)
    assert as_read(read) == read and lines_kept(lines_kept(text)) == lines_kept(text)
    assert not has_break(joined(text))
    # nothing but white space is lost, and all forms agree on one line
    assert "".join(read.split()) == "".join(text.split())
    assert one_line(text) == one_line(read) == one_line(lines_kept(text)) == one_line(joined(text))
    assert line_count(text) == line_count(lines_kept(text)) == line_count(read)
    assert not lines_kept(text).startswith("\n") and not lines_kept(text).endswith("\n")


def test_texts_of_a_document_after_each_other():
    assert continued(["a", "b"]) == "a b" and continued(["a\nb", "c"]) == "a\nb\nc"


@pytest.mark.parametrize("template", [*TEMPLATES, POOL])
def test_templates_of_one_line(template):
    """The next example begins on a new line, so a break ends an answer, unless the study says that
    an end token does."""
    asking = PromptBuilder(template)
    shown = asking.translation("one", "en", "uk", shots=[("two", "два"), ("six", "шість")])
    assert "\n" in shown[shown.index("два") :], "an example ends with its line"
    assert is_one_line(template) and not asking.keeps_breaks
    assert asking.asked("a \n\n b") == "a b"
    kept = PromptBuilder(template, paragraphs="keep")
    assert kept.asked(" a \r\n\n b") == "a\n\nb"
    assert "a\n\nb" in kept.translation("a\n\nb", "en", "uk")


@pytest.mark.parametrize("template", CHATS)
def test_a_turn_of_a_chat_may_have_several_lines(template):
    assert not is_one_line(template) and keeps_breaks(template, "auto")
    assert not keeps_breaks(template, "join") and keeps_breaks(template, "keep")
    assert not any(has_break(request) for request in INSTRUCTIONS)


PARAGRAPHS = Source(name="p", kind="parallel", path="p.jsonl", languages=("en", "uk"))
ROWS = [
    {"source": "a\n\nb", "target": "c \n d"},
    {"source": "a  b", "target": " c\u00a0d"},
]


@pytest.mark.parametrize(
    ("paragraphs", "first"),
    [
        ("auto", ("English: a b\nUkrainian:", "c d")),
        ("join", ("English: a b\nUkrainian:", "c d")),
        ("keep", ("English: a\n\nb\nUkrainian:", "c \n d")),
    ],
)
def test_training_rows(paragraphs, first):
    """A row of one line is the same, whatever the study says."""
    renderer = build_renderer(PARAGRAPHS, make_study(paragraphs=paragraphs), byte_level())
    assert list(renderer.examples(ROWS)) == [first, ("English: a  b\nUkrainian:", " c\u00a0d")]
    assert renderer.counts["several_lines"] == 1


def test_rows_with_context_keep_their_lines():
    source = PARAGRAPHS.model_copy(update={"context": 1})
    rows = [row | {"document": "d"} for row in ROWS]
    for paragraphs, expected in (
        ("keep", ("English: a\n\nb\na b\nUkrainian:", "c\nd\nc d")),
        ("join", ("English: a b a b\nUkrainian:", "c d c d")),
    ):
        renderer = build_renderer(source, make_study(paragraphs=paragraphs), byte_level())
        assert list(renderer.examples(rows))[1] == expected


def test_noise_keeps_lines(monkeypatch):
    words = Dictionary({"a": ["x"], "b": ["y"]}, 0)
    assert noise.gloss("a\n\n(b) c", words) == ("x\n\n(y) c", 3, 2)
    asked = []

    def backwards(texts, mode):
        asked.extend(texts)
        return [text[::-1] for text in texts]

    monkeypatch.setattr(noise, "_lines_by_apertium", backwards)
    assert noise.by_apertium(["ab\n \ncd", "ef", ""], "x-y") == ["ba\n\ndc", "fe", ""]
    assert asked == ["ab", "cd", "ef"]


def test_a_source_of_one_line_has_an_answer_of_one_line():
    tokenizer = byte_level()
    assert translation_request("p", "a bad cab", 8, tokenizer) == Request("p", None, 8)
    found = translation_request("p", "a\nb", 8, tokenizer)
    count = len(tokenizer("a\nb")["input_ids"])
    assert found == Request("p", None, max(8, 3 * count), one_line=False, within_positions=True)
    assert translation_request("p", "a\nb", 99, tokenizer).max_new_tokens == 99
    assert translation_request("p", "a\nb", 8, None).max_new_tokens == 8
    assert asked_text(found, " a \n b") == "a\nb"
    assert asked_text(Request("p", None), " a \n b") == "a b"


def test_the_room_of_an_answer_of_several_lines_is_what_the_positions_leave():
    model = llama(byte_level(), context=40)
    several = Request("p", None, 100, one_line=False, within_positions=True)
    assert [new_tokens(model, several, n) for n in (10, 39, 50)] == [30, 1, 1]
    assert new_tokens(model, Request("p", None, 100), 10) == 100


@pytest.mark.parametrize("beams", [1, 2])
def test_what_ends_an_answer(beams, monkeypatch):
    """A break ends the answer to a source of one line; to one of several lines, an end token."""
    tokenizer = byte_level()
    model = llama(tokenizer)
    breaks = tokenizer("\n", add_special_tokens=False)["input_ids"]
    after = tokenizer("a", add_special_tokens=False)["input_ids"]
    plan = [*after, *breaks, *after, tokenizer.eos_token_id, *after]
    plain = model.forward

    @wraps(plain)  # with its signature, which names the argument of the cache
    def planned(input_ids, **options):
        cache = options.get("cache", options.get("past_key_values"))
        step = (cache.get_seq_length() if cache is not None else 0) + input_ids.shape[-1] - start
        out = plain(input_ids=input_ids, **options)
        out.logits[:, -1] = -1e4
        out.logits[:, -1, plan[min(step, len(plan) - 1)]] = 1e4
        return out

    start = len(tokenizer("<s>a bad cab ->", add_special_tokens=False)["input_ids"])
    monkeypatch.setattr(model, "forward", planned)
    requests = [Request("a bad cab ->", None, 8, one_line=line) for line in (True, False)]
    one, several = run_requests(model, tokenizer, requests, beams=beams)
    assert (one.text, one.truncated) == ("a", False)
    assert (several.text, several.truncated) == ("a\na", False)


def test_a_dropped_paragraph_is_counted():
    several = Request("p", None, one_line=False)
    sources = ["a\n\nb", "c\nd", "e\nf", "g"]
    texts = ["x\ny", "z", "q\n\n\nr", "s\nt"]
    requests = [several, several, several, Request("p", None)]
    outputs = [Output(text, 0.0, 1) for text in texts]
    assert paragraph_counts(requests, sources, outputs) == {
        "several_lines": 3.0,
        "other_line_count": 1.0,
    }
    assert paragraph_counts(requests[3:], sources[3:], outputs[3:]) == {}


def test_failures_and_registers_are_found_across_line_breaks():
    text = "This is a well-\nknown and rather long sentence about nothing at all."
    joined_text = text.replace("\n", " ")
    for source, output in ((text, joined_text), (joined_text, text)):
        labels = judge([source], [output], ["Ein Satz über gar nichts."], "en", "de").labels
        assert "copy" in labels["strict"][0]
    # the official scorer splits at single spaces
    assert label_official("Kommen\nSie mit", ["Kommen Sie"], ["komm"]) == "FORMAL"
