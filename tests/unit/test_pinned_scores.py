"""What the embedded model gives, to the digit, with every version of transformers that is allowed:
a release that loads it in another precision, builds another mask or splits text in another way
changes these figures and nothing else."""

import pytest
from tiny_models import examples_of

from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Request
from mtray.schema import Training
from mtray.training.engine import TorchEngine
from mtray.training.loop import Tuning, finetune
from mtray.training.models import load_model, load_tokenizer

PAIRS = [
    ("English: The house is big.\nSpanish:", "Das Haus ist groß."),
    ("English: The house is big.\nSpanish:", "La casa es grande."),
    ("English: She reads a book.\nUkrainian:", "Вона читає книгу."),
    ("", "The weather was good that day."),
]


# transformers 4.57.6 with NumPy 1.26, and 5.24.0 with NumPy 2.4: the same
LIKELIHOODS = [-102.5372, -1.1671, -5.9711, -27.1422, -3.0235, -3.2819]
ANSWERS = ["El gobierno es grande.", "Вона читає книжки."]
LOSSES = [3.91251, 2.84852, 1.4812]


@pytest.fixture
def embedded():
    return load_model("embedded").cpu(), load_tokenizer("embedded")


def test_likelihoods_and_answers(embedded):
    asked = [Request(prompt, target, 1) for prompt, target in PAIRS]
    asked += [Request(prompt, None, 12) for prompt, _ in PAIRS[1:3]]
    found = run_requests(*embedded, asked)
    assert [o.log_likelihood for o in found] == pytest.approx(LIKELIHOODS, abs=1e-3)
    assert [o.text for o in found[len(PAIRS) :]] == ANSWERS


@pytest.mark.parametrize("packing", ["on", "off"])
def test_losses(embedded, packing):
    model, tokenizer = embedded
    training = Training(batch_examples=4, epochs=3, packing=packing, schedule="constant")
    _, record = finetune(
        lambda m: TorchEngine(m, training, "fp32"),
        model,
        examples_of(tokenizer, PAIRS),
        Tuning(training, "fp32", 1e-3, seed=1),
    )
    assert record.packed == (packing == "on")
    assert [loss for _, loss in record.loss] == pytest.approx(LOSSES, abs=1e-4)
