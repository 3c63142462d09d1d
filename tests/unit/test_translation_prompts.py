"""How translations are asked for, in training and in evaluation."""

import re
from collections import Counter

import pytest
from test_chat import chatting
from tiny_models import byte_level

from mtray.data.content_draws import choice_by_content, uniform_by_content
from mtray.data.instructions import INSTRUCTIONS
from mtray.data.templates import TEMPLATES, translation_prompt, with_examples
from mtray.data.translation_prompts import PromptBuilder
from mtray.errors import ConfigError


def test_the_pool_is_of_different_requests_with_slots():
    assert len(INSTRUCTIONS) >= 30 and len(set(INSTRUCTIONS)) == len(INSTRUCTIONS)
    for request in INSTRUCTIONS:
        assert set(re.findall(r"{(.*?)}", request)) <= {"source_name", "target_name"}
        assert "{target_name}" in request and "\n" not in request
        assert request == request.strip() and request[-1] in ".?"


@pytest.mark.parametrize("template", TEMPLATES)
def test_fixed_templates_are_as_ever(template):
    asking = PromptBuilder(template)
    assert asking.translation("a {x}", "en", "uk") == translation_prompt(
        "a {x}", "en", "uk", template
    )
    asked = [translation_prompt(t, "en", "uk", template, "formal") for t in ("q", "a", "b")]
    shown = asking.translation("q", "en", "uk", "formal", [("a", "A"), ("b", "B")])
    assert shown == with_examples([(asked[1], "A"), (asked[2], "B")], asked[0])


def drawn(text, key="", template="pool", tokenizer=None):
    return PromptBuilder(template, tokenizer, key).translation(text, "en", "uk")


def test_a_request_of_the_pool_stands_before_the_labelled_text():
    request, text, cue = drawn("a {x}").split("\n")
    fillings = [r.format(source_name="English", target_name="Ukrainian") for r in INSTRUCTIONS]
    assert request in fillings
    assert (text, cue) == ("English: a {x}", "Ukrainian:")
    shown = PromptBuilder("pool").translation("a {x}", "en", "uk", shots=[("b", "B")])
    assert shown == f"{request}\nEnglish: b\nUkrainian: B\nEnglish: a {{x}}\nUkrainian:"
    assert "Ukrainian (formal):" in PromptBuilder("pool").translation("a", "en", "uk", "formal")


def test_requests_are_drawn_by_content_and_all_of_them():
    prompts = [drawn(f"text {i}") for i in range(2000)]
    assert prompts == [drawn(f"text {i}") for i in range(2000)]
    counts = Counter(prompt.split("\n")[0] for prompt in prompts)
    assert len(counts) == len(INSTRUCTIONS)
    # 2000/36 = 55.6 each, with a standard deviation of 7.4
    assert min(counts.values()) > 25 and max(counts.values()) < 90
    others = [drawn(f"text {i}", "another key") for i in range(2000)]
    same = sum(a == b for a, b in zip(prompts, others, strict=True))
    assert same < 120, "the key decides, too: one in 36 is the same by chance"


def test_a_chat_has_the_request_in_the_users_turn():
    tokenizer = chatting()
    asking = PromptBuilder("chat", tokenizer)
    request = "Translate the following text from English into Ukrainian."
    assert asking.translation("a {x}", "en", "uk") == (
        f"<s>[user]\n{request}\n\na {{x}}[end]\n[assistant]\n"
    )
    assert asking.translation("q", "en", "uk", shots=[("a", "A")]) == (
        f"<s>[user]\n{request}\n\na[end]\n[assistant]\nA[end]\n"
        f"[user]\n{request}\n\nq[end]\n[assistant]\n"
    )
    assert asking.anything("Hi?") == "<s>[user]\nHi?[end]\n[assistant]\n"
    assert PromptBuilder("pool", tokenizer).anything("Hi?") == "Hi?"
    request = drawn("q").split("\n")[0]
    assert drawn("q", "", "chat_pool", tokenizer) == (
        f"<s>[user]\n{request}\n\nq[end]\n[assistant]\n"
    )


def test_what_cannot_be_asked_is_said_at_once():
    with pytest.raises(
        ConfigError, match=r"template 'lables' is unknown; known: .*chat_pool.*pool"
    ):
        PromptBuilder("lables")
    for template in ("chat", "chat_pool"):
        with pytest.raises(ConfigError, match="needs a tokenizer with a chat template"):
            PromptBuilder(template, byte_level())


def test_chances_are_uniform_and_hang_on_every_part():
    values = sorted(uniform_by_content("a", i) for i in range(4000))
    assert values[0] >= 0 and values[-1] < 1
    # Kolmogorov-Smirnov: 1.95 / sqrt(4000) is exceeded once in a thousand
    gap = max(abs(v - (i + 0.5) / 4000) for i, v in enumerate(values))
    assert gap < 1.95 / 4000**0.5
    assert (
        len(
            {
                uniform_by_content("a", "bc"),
                uniform_by_content("ab", "c"),
                uniform_by_content("a", "b", "c"),
                uniform_by_content("abc"),
            }
        )
        == 4
    )
    assert Counter(choice_by_content(3, i) for i in range(3000)).keys() == {0, 1, 2}
    assert uniform_by_content("\udc80") == uniform_by_content("\udc80"), (
        "a lone surrogate is text as well"
    )
