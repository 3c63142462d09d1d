"""What the engines are told, and steps in 16 bits."""

import os

import pytest
import torch
from tiny_models import byte_level, examples_of, llama

from mtray.errors import ConfigError
from mtray.schema import Training
from mtray.training.engine import TorchEngine, deepspeed_config, resolve_precision
from mtray.training.losses import summed_loss

CASES = [(s, "none") for s in range(4)] + [(1, "optimizer"), (3, "optimizer"), (3, "parameters")]


@pytest.mark.parametrize("stage, offload", CASES)
def test_deepspeed_takes_what_it_is_told(stage, offload):
    """By its own validation, which knows every key."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    training = Training(zero_stage=stage, offload=offload)
    zero = DeepSpeedZeroConfig(**deepspeed_config(training, "bf16")["zero_optimization"])
    assert zero.stage == stage and not zero.model_extra
    optimizer, parameters = zero.offload_optimizer, zero.offload_param
    assert (optimizer is not None and optimizer.device == "cpu") == (offload != "none")
    assert (parameters is not None and parameters.device == "cpu") == (offload == "parameters")


def test_precisions():
    wanted = {"fp32": (False, "bfloat16"), "bf16": (True, "bfloat16"), "fp16": (True, "float16")}
    for precision, (enabled, dtype) in wanted.items():
        told = deepspeed_config(Training(), precision)["torch_autocast"]
        assert told == {"enabled": enabled, "dtype": dtype}
    assert resolve_precision(Training(precision="fp16"), "cuda") == "fp16"
    with pytest.raises(ConfigError, match="precision is fp16, which needs a GPU"):
        resolve_precision(Training(precision="fp16"), "cpu")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_step_in_16_bits_is_nearly_that_in_32(precision):
    """The loss of fp16 is scaled on the way back and its gradients unscaled before they are
    clipped."""
    tokenizer = byte_level()
    examples = examples_of(tokenizer, [("a bad cab ->", "abba"), ("dad ->", "bee")])
    gradients = {}
    for kind in ("fp32", precision):
        model = llama(tokenizer)
        engine = TorchEngine(model, Training(gradient_clipping=1e9), kind)
        enabled = kind == "fp16"  # the usual first scale finds its way down in some skipped steps
        engine._scaler = torch.amp.GradScaler("cpu", init_scale=128.0, enabled=enabled)
        engine.backward(summed_loss(engine, examples) / 10, last=True)
        engine._optimizer.step = lambda *_, into=gradients, kind=kind, model=model, **__: (
            into.update({kind: torch.cat([p.grad.flatten() for p in model.parameters()])})
        )
        engine.step(1e-3)
    wanted, found = gradients.values()
    assert found.dtype == torch.float32
    assert float((found - wanted).norm() / wanted.norm()) < 0.05
