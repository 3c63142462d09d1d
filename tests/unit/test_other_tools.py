"""What a trial becomes in the terms of other trainers."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from tiny_models import TEXTS, byte_level, llama, metaspace

from mtray.data.tokenization import encode_examples, written_parts
from mtray.errors import ConfigError
from mtray.other_tools.axolotl import axolotl
from mtray.other_tools.deepspeed_file import deepspeed_text
from mtray.other_tools.differences import common_differences
from mtray.other_tools.llamafactory import llamafactory, retokenised
from mtray.other_tools.plan import Plan, batch_of, micro_batch, same_ids
from mtray.other_tools.readme import readme
from mtray.other_tools.rows import Row, TrialRows
from mtray.other_tools.trained_parts import TrainedParts, trained_parts
from mtray.other_tools.trl import script, trl
from mtray.schema import Recipe, Training

RECIPE = Recipe(parallel_size=4, learning_rate=1e-3)
BLOCKS = tuple(f"model.layers.{i}" for i in range(4))
ALL, SETTINGS = TrainedParts(), Training()
OUTSIDE = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")


def rows_of(tokenizer, pairs=TEXTS, sizes=(4,)):
    """Every pair once, and then the first ones again, in steps of these sizes."""
    encoded = encode_examples(tokenizer, pairs)
    parts = written_parts(tokenizer, pairs)
    distinct = {
        i: Row("pairs", *part, ids, start)
        for i, (part, (ids, start)) in enumerate(zip(parts, encoded, strict=True))
    }
    places = np.arange(sum(sizes)) % len(pairs)
    steps = np.split(places, np.cumsum(sizes)[:-1])
    return TrialRows(distinct, steps, len(steps))


def plan_of(recipe=RECIPE, parts=ALL, training=SETTINGS, sizes=(4,), **changes):
    rows = rows_of(byte_level(), sizes=sizes)
    fields = {
        "trial": 7, "run": "run", "study": "study", "model": "some/model",
        "trust_remote_code": False, "recipe": recipe, "training": training, "precision": "fp32",
        "seed": 3, "rows": rows, "parts": parts, "batch": 4, "micro": 2,
    }  # fmt: skip
    return Plan(**(fields | changes))


def frozen_parts(*frozen, outside=OUTSIDE, **changes):
    return TrainedParts(BLOCKS, frozen, outside, **changes)


TOKENIZERS = {
    "byte level": byte_level(), "without a begin token": byte_level(bos=False),
    "SentencePiece": metaspace(), "SentencePiece without its own": metaspace(adds_bos=False),
}  # fmt: skip


@pytest.mark.parametrize("name", TOKENIZERS)
def test_prompt_and_target_give_the_ids_when_they_are_tokenised_apart(name):
    tokenizer = TOKENIZERS[name]
    rows, others = retokenised(rows_of(tokenizer), tokenizer)
    assert not others
    for row in rows:
        prompt, target = same_ids(tokenizer, [row.prompt, row.target])
        assert prompt + target == row.ids and len(prompt) == row.loss_from


def test_a_row_without_such_a_form_is_reported():
    tokenizer = byte_level()
    rows = rows_of(tokenizer)
    other = replace(rows.distinct[0], ids=[*rows.distinct[0].ids[:-1], 5])
    rows = replace(rows, distinct={**rows.distinct, 0: other})
    found, others = retokenised(rows, tokenizer)
    assert others == [other] and found.distinct[0] == other
    said = "\n".join(llamafactory(plan_of(rows=rows), tokenizer).differs)
    assert "1 of 4 distinct rows get different token ids" in said


@pytest.mark.parametrize(
    ("sizes", "batch", "same"),
    [((4, 4), 4, 2), ((4, 2), 4, 2), ((4, 2, 4, 2), 4, 1), ((3, 4), 4, 0), ((2,), 4, 1)],
    ids=["even", "a last one of fewer", "two epochs", "by tokens", "one step"],
)
def test_steps_that_have_the_same_rows(sizes, batch, same):
    assert rows_of(byte_level(), sizes=sizes).batches_of(batch) == same


def test_batches_are_divided_evenly():
    assert micro_batch(32, 160, Training()) == 16
    assert micro_batch(7, 600, Training()) == 1
    assert micro_batch(32, 100, Training(micro_batch_tokens=256)) == 2
    assert micro_batch(8, 5000, Training()) == 1
    rows = rows_of(byte_level(), sizes=(3, 4, 5))
    assert batch_of(rows, Training(batch_tokens=256)) == 4
    assert batch_of(rows, Training(batch_examples=64)) == 12


FROZEN = {
    "the first": (frozen_parts(0, 1), 2),
    "the last": (frozen_parts(3), -3),
    "embeddings alone": (frozen_parts(outside=OUTSIDE[1:], frozen_outside=OUTSIDE[:1]), 4),
    "all": (frozen_parts(0, 1, 2, 3), 0),
}


@pytest.mark.parametrize("case", FROZEN)
def test_llamafactory_freezes_blocks_at_an_end(case):
    parts, layers = FROZEN[case]
    text = llamafactory(plan_of(parts=parts), byte_level()).texts["train.yaml"]
    found = yaml.safe_load(text)
    assert found["finetuning_type"] == "freeze"
    assert abs(found["freeze_trainable_layers"]) == abs(layers)
    assert found["freeze_trainable_layers"] == layers
    assert ("embed_tokens" in found["freeze_extra_modules"]) == (case != "embeddings alone")


def test_llamafactory_cannot_freeze_blocks_in_between():
    with pytest.raises(ConfigError, match=r"blocks 1, 2 are frozen.*--to trl, axolotl or mtray"):
        llamafactory(plan_of(parts=frozen_parts(1, 2)), byte_level())


def test_adapters_are_on_the_blocks_that_are_not_frozen():
    adapted = tuple(f"{BLOCKS[i]}.self_attn.{m}_proj" for i in (1, 2) for m in "qv")
    parts = frozen_parts(0, 3, adapted=adapted)
    recipe = RECIPE.with_values({"method": "lora", "lora_rank": 8, "lora_dropout": 0.1})
    plan, tokenizer = plan_of(recipe, parts), byte_level()
    factory = yaml.safe_load(llamafactory(plan, tokenizer).texts["train.yaml"])
    assert factory["lora_target"].split(",") == list(adapted)
    assert (factory["lora_rank"], factory["lora_alpha"], factory["lora_dropout"]) == (8, 16, 0.1)
    other = yaml.safe_load(axolotl(plan, tokenizer).texts["train.yaml"])
    assert other["lora_target_modules"] == ["q_proj", "v_proj"]
    assert other["peft_layers_to_transform"] == [1, 2] and other["adapter"] == "lora"
    assert "layers_to_transform=[1, 2]" in script(plan) and "lora_alpha=16" in script(plan)
    assert trl(plan, tokenizer).install.endswith(" peft")


def test_4_bits_are_asked_for_of_each_tool():
    recipe = RECIPE.with_values({"method": "qlora"})
    plan = plan_of(recipe, frozen_parts(adapted=(f"{BLOCKS[0]}.q_proj",)), precision="bf16")
    factory = yaml.safe_load(llamafactory(plan, byte_level()).texts["train.yaml"])
    assert (factory["quantization_bit"], factory["quantization_type"]) == (4, "nf4")
    other = yaml.safe_load(axolotl(plan, byte_level()).texts["train.yaml"])
    assert other["load_in_4bit"] and other["adapter"] == "qlora"
    compile(script(plan), "train.py", "exec")
    assert "BitsAndBytesConfig(" in script(plan) and 'settings["use_cpu"]' in script(plan)


@pytest.mark.parametrize(("warmup", "said"), [(0.0, False), (0.5, True), (1.0, False)])
def test_axolotl_warms_up_for_two_steps_at_least(warmup, said):
    plan = plan_of(training=Training(warmup=warmup), sizes=(4, 4))
    differs = axolotl(plan, byte_level()).differs
    assert any("two steps out of a warm-up of one" in sentence for sentence in differs) == said


def test_names_in_a_script_are_data():
    plan = plan_of(model='x"; import os; "', parts=frozen_parts(0))
    compile(script(plan), "train.py", "exec")
    assert repr(plan.model) in script(plan)


SAID = {
    "warm-up": (plan_of(training=Training(warmup=0.5)), "of the 1 warm-up steps"),
    "decay": (plan_of(training=Training(weight_decay=0.1)), "leaves out biases and norms"),
    "part of the way": (plan_of(RECIPE.with_values({"reversion_alpha": 0.5})), "w0 + 0.5 (w - w0)"),
    "adapter": (
        plan_of(RECIPE.with_values({"reversion_alpha": 0.5, "method": "lora"})),
        "multiply `lora_alpha` in `adapter_config.json` by 0.5",
    ),
    "epochs": (plan_of(sizes=(4, 2, 4)), "The first 1 of the trial's 3 steps have the same rows"),
    "tokens": (
        plan_of(training=Training(batch_tokens=300), sizes=(3, 4)),
        "filled each step with up to 300 tokens",
    ),
    "same": (plan_of(sizes=(4, 4)), "All 2 steps have the trial's rows"),
    "fp32": (plan_of(), "computed in fp32, and so does this"),
    "bf16": (plan_of(precision="bf16"), "The tool holds its weights so."),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_what_is_different_is_said(case):
    plan, sentence = SAID[case]
    assert sentence in "\n".join(common_differences(plan, "its weights so"))


def test_what_is_the_same_is_not_listed_as_different():
    plan = plan_of(training=Training(warmup=0, packing="off"), precision="bf16", sizes=(4, 4))
    assert len(common_differences(plan)) == 1


@pytest.mark.parametrize("embeddings", ["none", "input", "both"])
def test_names_of_a_model(embeddings):
    model = llama(byte_level())
    recipe = RECIPE.with_values({"frozen_layers": 1, "freeze_embeddings": embeddings})
    parts = trained_parts(model, recipe, (1,))
    assert parts.blocks == ("model.layers.0", "model.layers.1") and parts.trained_blocks == (0,)
    frozen = {"none": (), "input": OUTSIDE[:1], "both": (OUTSIDE[0], OUTSIDE[2])}[embeddings]
    assert parts.frozen_outside == frozen
    assert {*parts.outside, *frozen} == {*OUTSIDE}
    lora = RECIPE.with_values({"method": "lora"})
    adapted = trained_parts(llama(byte_level()), lora, (0,))
    assert all(name.startswith("model.layers.1.") for name in adapted.adapted)
    assert set(adapted.adapted_leaves) >= {"q_proj", "down_proj"}
    assert trained_parts(llama(byte_level()), RECIPE, ()).blocks == ()


def test_deepspeed_has_the_trials_zero_and_the_trainers_rest():
    found = yaml.safe_load(deepspeed_text(Training(zero_stage=2, offload="optimizer"), "bf16"))
    assert found["zero_optimization"]["stage"] == 2
    assert found["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    assert found["gradient_clipping"] == found["train_micro_batch_size_per_gpu"] == "auto"


def test_the_readme_says_what_a_step_has():
    plan = plan_of()
    text = readme(plan, "axolotl", axolotl(plan, byte_level()))
    assert "A step has 4 rows: a micro-batch of 2 times 2 accumulation steps" in text
    assert "## What Axolotl does differently" in text and "pip install axolotl==" in text
