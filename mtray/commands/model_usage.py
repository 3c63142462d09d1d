"""How an exported model is asked: code for transformers alone, with a prompt of the study."""

from __future__ import annotations

from typing import Any

from mtray.data.tokenization import prompt_ids
from mtray.evaluation.inference.requests import Request

LOAD = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({folder!r})
model = AutoModelForCausalLM.from_pretrained({folder!r})"""
LOAD_ADAPTER = """\
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({folder!r})
model = AutoPeftModelForCausalLM.from_pretrained({folder!r})"""
ASK = """\
prompt = {prompt!r}
inputs = tokenizer({text}{options}, return_tensors="pt", return_token_type_ids=False)
output = model.generate(**inputs, max_new_tokens={limit}, do_sample=False)
answer = tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
print(answer.strip(){cut})"""


def usage_lines(request: Request, tokenizer: Any, kind: str, folder: str) -> list[str]:
    """Markdown: code that asks the model, saved in `folder`, one of the study's requests as it was
    asked, greedily. `kind`: model or adapter. Empty for a tokenizer whose calls give other ids than
    training saw."""
    call = _call(tokenizer, request.prompt)
    if call is None or request.target is not None:
        return []
    text, options = call
    load = LOAD_ADAPTER if kind == "adapter" else LOAD
    ask = ASK.format(
        prompt=request.prompt, text=text, options=options, limit=request.max_new_tokens,
        cut='.split("\\n")[0]' if request.one_line else "",
    )  # fmt: skip
    return [
        "## Use",
        "",
        "It was trained on prompts of this form and answers others worse"
        + ("; an answer is one line." if request.one_line else "."),
        "",
        "```python",
        *load.format(folder=folder).splitlines(),
        "",
        *ask.splitlines(),
        "```",
        "",
    ]


def _call(tokenizer: Any, prompt: str) -> tuple[str, str] | None:
    """The text and the options with which the tokenizer gives a prompt's ids; None: there are
    none."""
    wanted = prompt_ids(tokenizer, prompt)
    bare = ", add_special_tokens=False"
    begin = tokenizer.bos_token or ""
    calls = (
        ("prompt", "", tokenizer(prompt)),
        ("prompt", bare, tokenizer(prompt, add_special_tokens=False)),
        (f"{begin!r} + prompt", bare, tokenizer(begin + prompt, add_special_tokens=False)),
    )
    return next((call[:2] for call in calls if list(call[2]["input_ids"]) == wanted), None)
