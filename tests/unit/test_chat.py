"""Chat templates: what is trained on is the template's own text, split where it is asked."""

import pytest
import torch
from tiny_models import byte_level, llama, metaspace

from mtray.data.chat import chat_form, chat_prompt, end_of_turn_ids
from mtray.data.tokenization import encode_examples, prompt_ids, prompt_ids_batch
from mtray.errors import ConfigError
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Request

TURNS = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]\n{{ m['content'] }}[end]\n"
    "{% endfor %}{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
# no generation prompt, and a space before an answer that the question does not end in
INST = (
    "{% for m in messages %}{% if m['role'] == 'user' %}(I) {{ m['content'] }} (/I)"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
# an empty thought before an answer, which is not asked for
THINKING = TURNS.replace(
    "{{ m['content'] }}",
    "{% if m['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}",
)


def chatting(template=TURNS, make=byte_level):
    tokenizer = make()
    tokenizer.add_special_tokens({"additional_special_tokens": ["[end]"]})
    tokenizer.chat_template = template
    return tokenizer


def messages(*texts):
    return [{"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(texts)]


def test_the_prompt_is_the_conversation_up_to_the_answer():
    tokenizer = chatting()
    assert chat_prompt(tokenizer, "a cab?") == "<s>[user]\na cab?[end]\n[assistant]\n"
    shown = chat_prompt(tokenizer, "b?", [("a?", "dad")])
    assert shown == ("<s>[user]\na?[end]\n[assistant]\ndad[end]\n[user]\nb?[end]\n[assistant]\n")
    form = chat_form(tokenizer)
    assert (form.head, form.turn) == ("<s>[user]\n", "[end]\n[assistant]\n")
    assert (form.lead, form.tail) == ("", "[end]")


@pytest.mark.parametrize("make", [byte_level, metaspace])
@pytest.mark.parametrize("template", [TURNS, INST], ids=["turns", "inst"])
def test_ids_are_those_of_the_template(make, template):
    tokenizer = chatting(template, make)
    prompt = chat_prompt(tokenizer, "a bad cab?")
    asked = tokenizer.apply_chat_template(
        messages("a bad cab?"), add_generation_prompt=True, tokenize=True, return_dict=False
    )
    assert prompt_ids(tokenizer, prompt) == asked
    whole = tokenizer.apply_chat_template(
        messages("a bad cab?", "abba dad"), tokenize=True, return_dict=False
    )
    ((ids, start),) = encode_examples(tokenizer, [(prompt, "abba dad")])
    # the template may go on after its end of the turn, which nothing is learned from
    assert ids == whole[: len(ids)] and not tokenizer.decode(whole[len(ids) :]).strip()
    assert ids[:start] == asked
    end = "[end]" if template == TURNS else "</s>"
    assert ids[-1] == tokenizer.convert_tokens_to_ids(end)
    assert tokenizer.decode(ids[start:-1]).strip() == "abba dad"
    ((open_ended, _),) = encode_examples(tokenizer, [(prompt, "abba dad")], with_end=False)
    assert open_ended == ids[:-1]


def test_other_prompts_of_a_chatting_tokenizer_are_as_ever():
    plain, tokenizer = byte_level(), chatting()
    texts = ["a bad cab", "English: a\nSpanish:"]
    assert prompt_ids_batch(tokenizer, texts) == prompt_ids_batch(plain, texts)
    pairs = [("", "dad"), (texts[1], "abc")]
    assert encode_examples(tokenizer, pairs) == encode_examples(plain, pairs)


def test_a_thought_is_not_put_before_what_is_asked_without_one():
    tokenizer = chatting(THINKING)
    form = chat_form(tokenizer)
    assert (form.lead, form.tail) == ("", "[end]")
    prompt = chat_prompt(tokenizer, "a?")
    ((ids, start),) = encode_examples(tokenizer, [(prompt, "dad")])
    assert tokenizer.decode(ids[start:]) == "dad[end]"


def test_an_answer_ends_with_the_turn():
    tokenizer = chatting()
    end = tokenizer.convert_tokens_to_ids("[end]")
    assert end_of_turn_ids(tokenizer) == [end]
    assert end_of_turn_ids(byte_level()) == []
    model = llama(tokenizer)
    prompt = chat_prompt(tokenizer, "a bad cab?")
    ids = torch.tensor([prompt_ids(tokenizer, prompt)])
    with torch.no_grad():  # the head is turned until the end of the turn is the likeliest
        state = model.model(ids).last_hidden_state[0, -1]
        model.lm_head.weight[end] = 100 * state / state.norm()
    (output,) = run_requests(model, tokenizer, [Request(prompt, None, 8, one_line=False)])
    assert (output.text, output.tokens, output.truncated) == ("", 0, False)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (None, "needs a tokenizer with a chat template, and the model's has none"),
        ("{{ raise_exception('no!') }}", "cannot be used: .*no!"),
        ("{% for m in messages %}{{ m['content'] }}{% endfor %}", "cannot be used: it must write"),
        ("always the same", "cannot be used: it must write"),
    ],
)
def test_templates_that_cannot_be_used(template, reason):
    with pytest.raises(ConfigError, match=reason):
        chat_prompt(chatting(template), "a?")
