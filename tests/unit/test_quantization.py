"""QLoRA: adapters beside weights of 4 bits. Trials need a GPU for it; bitsandbytes' code for the
CPU is slow and good enough to see that everything around the weights works."""

import pytest
import torch
from test_adapters import LORA
from tiny_models import TEXTS, byte_level, examples_of, llama

from mtray.evaluation.inference.batching import Settings
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Output, Request
from mtray.schema import Training
from mtray.training.adapters import merged, prepare
from mtray.training.engine import TorchEngine
from mtray.training.export import save_model
from mtray.training.loop import Tuning, finetune
from mtray.training.models import load_model
from mtray.training.parameter_counts import parameter_count
from mtray.training.reversion import InitialWeights
from mtray.training.trainable_weights import load_trainable, save_trainable, trainable_weights
from mtray.trial.divergence import Divergence
from mtray.trial.job import DivergencePlan

bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
QLORA = LORA.model_copy(update={"method": "qlora"})
TRAINING = Training(batch_examples=8, epochs=12, packing="on")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model to load in 4 bits, on the CPU."""
    monkeypatch.setattr("mtray.training.quantization.check_qlora", lambda gpus: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: "cpu")
    made = bitsandbytes.nn.Linear4bit.__init__

    def for_training_too(self, *rest, **options):
        made(self, *rest, **options)
        # else the first answer turns the weights into a form that has no gradient
        self.support_avx512bf16_for_cpu = False

    monkeypatch.setattr(bitsandbytes.nn.Linear4bit, "__init__", for_training_too)
    tokenizer = byte_level()
    llama(tokenizer).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def tuned(folder):
    torch.manual_seed(0)
    model = prepare(load_model(str(folder), in_4_bits=True), QLORA, TRAINING, 1).model
    origin = InitialWeights()
    origin.take(model)
    engine, record = finetune(
        lambda m: TorchEngine(m, TRAINING, "bf16"),
        model,
        examples_of(byte_level(), TEXTS * 4),
        Tuning(TRAINING, "bf16", 1e-2, seed=1),
    )
    return engine.module, record, origin


def test_adapters_alone_move_and_everything_is_counted(folder):
    whole = load_model(str(folder))
    model, record, _ = tuned(folder)
    assert record.packed and record.loss[-1][1] < 0.7 * record.loss[0][1]
    assert all("lora_" in name for name in trainable_weights(model))
    adapters = sum(p.numel() for p in trainable_weights(model).values())
    assert record.trainable_parameters == adapters
    assert record.total_parameters == parameter_count(whole) + adapters
    assert parameter_count(whole) == sum(p.numel() for p in whole.parameters())


def test_what_is_kept_is_the_adapter_and_it_can_be_taken_back(folder, tmp_path):
    model, _, origin = tuned(folder)
    tokenizer = byte_level()
    asked = [Request(p, t, 12) for p, _ in TEXTS[:2] for t in (None, "bad dad")]

    def answers(module):
        with merged(module):  # left as it is
            found = run_requests(module.eval(), tokenizer, asked, autocast=torch.bfloat16)
        return [(o.text, o.log_likelihood) for o in found]

    wanted = answers(model)
    with origin.at(model, 0.0):
        untouched = answers(model)
    assert answers(model) == wanted != untouched
    save_trainable(model, tmp_path / "kept.safetensors")
    again = prepare(load_model(str(folder), in_4_bits=True), QLORA, TRAINING, 1).model
    load_trainable(again, tmp_path / "kept.safetensors")
    assert answers(again) == wanted


def test_the_divergence_is_that_from_its_own_weights_of_4_bits(folder):
    model, _, origin = tuned(folder)
    answers = [Output("bad dad", 0.0, 2)]
    plan = DivergencePlan([Request(TEXTS[0][0], None, 12)], lambda: answers)
    settings = Settings(model.eval(), byte_level(), autocast=torch.bfloat16)
    compared = Divergence(plan, settings, origin)
    assert compared.at(0.0) == 0.0 < compared.at(0.5) < compared.at(1.0)


def test_it_leaves_as_an_adapter_or_merged(folder, tmp_path):
    model, _, _ = tuned(folder)
    assert save_model(model, byte_level(), tmp_path / "adapter", merge=False) == "adapter"
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    assert save_model(model, byte_level(), tmp_path / "whole", merge=True) == "model"
    assert "quant" not in (tmp_path / "whole" / "config.json").read_text()
    again, base = load_model(str(tmp_path / "whole")), load_model(str(folder))
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    (ids, _), *_ = examples_of(byte_level(), TEXTS)
    with torch.no_grad():
        wanted, found, untouched = (
            m.eval()(input_ids=torch.tensor(ids[None].astype("int64"))).logits.float()
            for m in (model, again, base)
        )
    size = float(wanted.abs().max())
    assert float((found - wanted).abs().max()) < 0.02 * size  # its products are in bf16
    assert float((untouched - wanted).abs().max()) > 0.2 * size
