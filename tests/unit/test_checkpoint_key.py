"""Whatever changes what is trained changes a checkpoint's key, and nothing else does."""

import numpy as np
import pytest
from records_factory import make_mix, make_study

from mtray.schema import Recipe, Resources, Training
from mtray.training import checkpoint_key as keys

RECIPE = Recipe(parallel_size=100)
EXAMPLES = [(np.arange(n, n + 9, dtype=np.int32), 3) for n in range(200)]


def key(study=None, recipe=RECIPE, seed=1, examples=EXAMPLES, mix=None, engine="torch fp32"):
    study = study or make_study()
    return keys.checkpoint_key(study, recipe, seed, examples, mix or make_mix(RECIPE), engine)


def changed(mix, **values):
    share, *rest = mix.shares
    return mix.model_copy(update={"shares": (share.model_copy(update=values), *rest)})


@pytest.mark.parametrize(
    "other",
    [
        {"study": make_study(training=Training(warmup=0.3))},
        {"study": make_study(model="another/model")},
        {"recipe": Recipe(parallel_size=100, frozen_layers=1)},
        {"recipe": Recipe(parallel_size=100, stop_after=0.5)},
        {"seed": 2},
        {"examples": EXAMPLES[:-1]},
        {"examples": [(EXAMPLES[0][0] + 1, 3), *EXAMPLES[1:]]},
        {"examples": [(EXAMPLES[0][0], 4), *EXAMPLES[1:]]},
        {"mix": changed(make_mix(RECIPE), store_key="another text")},
        {"engine": "deepspeed fp32"},
    ],
    ids=str,
)
def test_another_training_has_another_key(other):
    assert key(**other) != key()


def test_other_intermediate_checkpoints_which_are_kept_with_it():
    early = make_study().evaluation.model_copy(update={"intermediate_checkpoints": (0.5,)})
    constant = Training(schedule="constant")
    study = make_study(training=constant, evaluation=early)
    assert key(study) != key(make_study(training=constant))


def test_how_it_is_run_and_kept_does_not_matter():
    free = make_study(
        training=Training(checkpoint_minutes=1, checkpoints=False), resources=Resources(workers=2)
    )
    assert key(free) == key(mix=changed(make_mix(RECIPE), store="sent")) == key()


def test_another_base_model_under_the_same_name(tmp_path):
    study = make_study(model=str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"one")
    first = key(study)
    assert key(study) == first
    (tmp_path / "model.safetensors").write_bytes(b"others")
    assert key(study) != first


def test_other_code(monkeypatch):
    first = key()
    monkeypatch.setattr(keys, "code_hash", lambda folder: "changed")
    assert key() != first
