"""What no trial could do is told before any starts."""

import pytest
from records_factory import make_study
from tiny_models import byte_level, examples_of, llama, other_models
from torch import nn

from mtray.errors import ConfigError, ModelError
from mtray.schema import Training
from mtray.search_space.parameters import Choices, Condition, FloatRange, IntRange
from mtray.search_space.space import Space
from mtray.training import recipe_checks
from mtray.training.engine import TorchEngine
from mtray.training.loop import Tuning, finetune


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of two blocks, whose tokenizer has no pad token."""
    path = tmp_path_factory.mktemp("model")
    tokenizer = byte_level(pad=False)
    llama(tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def check(folder, space=None, training=None, **resources):
    study = make_study(model=str(folder), training=training or {}, resources=resources)
    recipe_checks.check_recipes(study, Space(parameters=space or {}, fixed={"parallel_size": 10}))


def layers(high):
    return {"frozen_layers": IntRange(type="int", low=0, high=high)}


def words(name, *choices):
    return {name: Choices(type="categorical", choices=choices)}


def test_what_can_be_trained_passes(folder):
    check(folder)
    check(folder, layers(2) | words("freeze_policy", "top", "random", "snr"))
    check(folder, layers(1) | words("method", "full", "lora"))
    check(folder, training={"gradient_checkpointing": True, "zero_stage": 3})


def test_more_frozen_layers_than_layers(folder):
    with pytest.raises(ConfigError, match=r"frozen_layers goes up to 3, but .* has 2 transformer"):
        check(folder, layers(3))
    with pytest.raises(ConfigError, match="nothing is left to adapt"):
        check(folder, layers(2) | words("method", "full", "lora"))


LORA = {"method": "lora"}
RANKS = {"lora_rank": IntRange(type="int", low=8, high=64)}


@pytest.mark.parametrize(
    ("parameters", "fixed", "scale"),
    [
        ({}, {**LORA, "lora_alpha": 2.0}, "0.125"),  # the default rank is 16
        (RANKS, {**LORA, "lora_alpha": 2.0}, "0.25"),
        (RANKS | {"lora_alpha": FloatRange(type="float", low=1, high=4)}, LORA, "0.5"),
        (words("method", "full", "qlora"), {"lora_rank": 8, "lora_alpha": 7.0}, "0.875"),
        (RANKS, {**LORA, "lora_alpha": 8.0}, None),
        (RANKS | {"lora_alpha": FloatRange(type="float", low=1, high=64)}, LORA, None),
        (RANKS, LORA, None),
        (RANKS, {"lora_alpha": 2.0}, None),  # without adapters
    ],
)
def test_a_scale_that_may_be_meant_as_a_factor_is_noted(parameters, fixed, scale):
    space = Space(parameters=parameters, fixed={"parallel_size": 10, **fixed})
    notes = recipe_checks.adapter_notes(space)
    assert [f"scaled by at most {scale} (" in note for note in notes] == [True] * (
        scale is not None
    )


CONSTANT = {"schedule": "constant", "warmup": 0.1}


@pytest.mark.parametrize("low, training, told", [
    (0.2, {}, "`stop_after` holds 0.2, which needs `training.schedule: constant`, found 'cosine'"),
    (0.1, CONSTANT, "`stop_after` holds 0.1, which lies within the warm-up"),
    (0.2, CONSTANT, None),
    (1.0, {}, None),
])  # fmt: skip
def test_who_stops_early_needs_a_rate_that_is_constant(folder, low, training, told):
    searched = {"stop_after": Choices(type="categorical", choices=(0.5, low, 1.0))}
    space = searched if low < 1 else {}
    if told is None:
        return check(folder, space, training)
    with pytest.raises(ConfigError, match=told):
        check(folder, space, training)


def test_who_stops_early_has_no_intermediate_checkpoints(folder):
    study = make_study(model=str(folder), training=Training(schedule="constant"))
    changed = study.evaluation.model_copy(update={"intermediate_checkpoints": (0.5,)})
    study = study.model_copy(update={"evaluation": changed})
    recipe_checks.check_recipes(study, Space(parameters={}, fixed={"parallel_size": 10}))
    space = Space(parameters={}, fixed={"parallel_size": 10, "stop_after": 0.5})
    with pytest.raises(ConfigError, match="which not every training takes; drop one of the two"):
        recipe_checks.check_recipes(study, space)


LORA = {"method": Condition(among=("lora",))}
FULL = {"method": Condition(among=("full",))}


def test_what_conditions_keep_apart_is_not_refused(folder):
    """All blocks frozen with full fine-tuning, and adapters with fewer."""
    either = words("method", "full", "lora")
    whole = {"frozen_layers": layers(2)["frozen_layers"].model_copy(update={"when": FULL})}
    check(folder, whole | either)
    with pytest.raises(ConfigError, match="nothing is left to adapt"):
        adapters = {"frozen_layers": layers(2)["frozen_layers"].model_copy(update={"when": LORA})}
        check(folder, adapters | either)
    changed = Choices(type="categorical", choices=("most_changed", "top"), when=LORA)
    check(folder, whole | either | {"freeze_policy": changed})
    with pytest.raises(ConfigError, match=r"set `training\.freeze_from`"):
        check(folder, layers(1) | either | {"freeze_policy": changed})


def test_few_bits_without_a_gpu(folder):
    with pytest.raises(ConfigError, match="qlora, whose 4-bit weights need a GPU"):
        check(folder, words("method", "full", "qlora"))


def test_an_earlier_model_is_needed_and_there(folder):
    policy = words("freeze_policy", "bottom", "most_changed")
    with pytest.raises(ConfigError, match=r"set `training\.freeze_from`"):
        check(folder, layers(1) | policy)
    with pytest.raises(ModelError, match="'nowhere': no such folder"):
        check(folder, layers(1) | policy, {"freeze_from": "nowhere"})
    check(folder, layers(1) | policy, {"freeze_from": str(folder)})


def test_a_model_without_a_list_of_blocks(folder, monkeypatch):
    monkeypatch.setattr(recipe_checks, "empty_model", lambda *_: nn.Linear(2, 2))
    for space in (layers(1), words("method", "lora", "full")):
        with pytest.raises(ConfigError, match="Linear: no stack of transformer blocks found"):
            check(folder, space)
    check(folder)  # nothing is frozen
    with pytest.raises(ConfigError, match="gradient_checkpointing: Linear does not support it"):
        check(folder, training={"gradient_checkpointing": True})


def test_packed_rows_that_a_model_cannot_take(folder, tmp_path):
    check(folder, training={"packing": "on"})
    tokenizer = byte_level()
    other_models(tokenizer)["alibi"].save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    check(tmp_path)
    with pytest.raises(ConfigError, match=r"packing is on, but BloomForCausalLM cannot .* allowed"):
        check(tmp_path, training={"packing": "on"})


UNFIT = [
    ({"micro_batch_tokens": 64}, {}, "`training.micro_batch_tokens` is 64, .* 256 tokens"),
    ({"batch_tokens": 100}, {}, "`training.batch_tokens` is 100, .* 256 tokens"),
    ({"batch_examples": 3}, {"workers": 4}, "`training.batch_examples` is 3, fewer than the 4"),
    ({"offload": "optimizer"}, {"gpus_per_worker": 1}, "needs a `zero_stage` of 1 or more"),
    ({"offload": "parameters", "zero_stage": 2}, {"gpus_per_worker": 1}, "of 3 or more, found 2"),
    ({"offload": "optimizer", "zero_stage": 2}, {}, "`training.offload: optimizer` needs a GPU"),
    ({"precision": "fp16"}, {}, "`training.precision: fp16` needs a GPU"),
    ({"packing": "always"}, {}, "'auto', 'on' or 'off'"),
]


@pytest.mark.parametrize("training, resources, message", UNFIT)
def test_what_does_not_fit_together(training, resources, message):
    with pytest.raises(ValueError, match=message):
        make_study(training=training, resources=resources)
    make_study(training={"micro_batch_tokens": 256, "batch_tokens": 256})
    on_gpu = {"offload": "parameters", "zero_stage": 3, "precision": "fp16"}
    make_study(training=on_gpu, resources={"gpus_per_worker": 1})


def test_no_pad_token_is_needed(folder):
    """Pads are never seen, so any token will do: examples of unequal length, in padded rows."""
    tokenizer = byte_level(pad=False)
    assert tokenizer.pad_token is None
    examples = examples_of(tokenizer, [("a bad cab ->", "abba"), ("dad ->", "bee")])
    assert len(examples[0][0]) != len(examples[1][0])
    training = Training(packing="off", epochs=3)
    _, record = finetune(
        lambda m: TorchEngine(m, training, "fp32"),
        llama(tokenizer),
        examples,
        Tuning(training, "fp32", 1e-2, seed=1),
    )
    assert record.loss[-1][1] < record.loss[0][1]
