"""Checkpoints of a running trial: an interrupted training ends as one that was not, and what is
half written, damaged or of something else is not used."""

import json
import os
import shutil
import time

import pytest
import torch
from test_loop import with_dropout
from tiny_models import TEXTS, byte_level, examples_of, frozen, llama

from mtray.errors import TakenOver, TrialStopped
from mtray.full_disk import FullDisk
from mtray.schema import Training
from mtray.search.ledger.trial_owner import Owner, forget_owners
from mtray.training.checkpoint_files import checksum, in_files
from mtray.training.checkpoints import Checkpoints, forget, kept_bytes, kept_step
from mtray.training.engine import TorchEngine
from mtray.training.loop import RungSchedule, Tuning, finetune
from mtray.training.optimizer_state import scaler_numbers
from mtray.training.worker import ProcessGroup, Worker

TRAINING = Training(batch_examples=8, epochs=4, warmup=0.1)  # 8 steps


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level()


@pytest.fixture(scope="module")
def examples(tokenizer):
    return examples_of(tokenizer, TEXTS * 4)


class Lost(Exception):
    """The process is gone."""


def train(
    model,
    examples,
    checkpoints=None,
    dies_after=None,
    stops_after=None,
    measured=None,
    stops_at_rung=None,
    while_measuring=lambda: None,
):
    """The tuned module and its record; `measured` grows by the rungs."""
    steps = []

    def measure(reached, module):
        while_measuring()
        if reached.rung == stops_at_rung:
            raise TrialStopped
        if measured is not None:
            measured.append(reached.rung)
        return False

    class Dying(TorchEngine):
        def step(self, learning_rate):
            if len(steps) == dies_after:
                raise Lost
            super().step(learning_rate)
            steps.append(learning_rate)

    torch.manual_seed(7)
    engine, record = finetune(
        lambda m: Dying(m, TRAINING, "fp32"), frozen(model), examples,
        Tuning(TRAINING, "fp32", 3e-3, seed=1), rungs=RungSchedule((0.25, 0.5), measure),
        checkpoints=checkpoints, worker=Worker(should_stop=lambda: len(steps) == stops_after),
    )  # fmt: skip
    return engine.module, record, len(steps)


def flat(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.parametrize("make", [llama, with_dropout])
@pytest.mark.parametrize("ends, resumes", [("dies", 4), ("stops", 6)])
def test_an_interrupted_training_ends_as_one_that_was_not(
    tokenizer, examples, make, ends, resumes, tmp_path
):
    """Lost after the sixth step it goes on from the second rung's; stopped there, from there."""
    whole, expected, _ = train(make(tokenizer), examples)
    kept, measured = Checkpoints(tmp_path, "key"), []
    with pytest.raises(Lost if ends == "dies" else TrialStopped):
        train(make(tokenizer), examples, kept, **{f"{ends}_after": 6}, measured=measured)
    assert kept_step(tmp_path) == resumes and measured == [0, 1]
    again, record, steps = train(
        make(tokenizer), examples, Checkpoints(tmp_path, "key"), measured=measured
    )
    assert steps == 8 - resumes and measured == [0, 1], "no rung is measured twice"
    assert record.resumed == (resumes,)
    assert record.loss == expected.loss
    assert torch.equal(flat(again), flat(whole))
    for name in ("steps", "tokens", "accumulated_learning_rate", "trainable_parameters"):
        assert getattr(record, name) == getattr(expected, name)


@pytest.mark.parametrize("rung, step", [(0, 2), (1, 4)])
def test_a_rung_that_was_interrupted_is_measured_again(tokenizer, examples, tmp_path, rung, step):
    """No step is lost, and no rung."""
    whole, expected, _ = train(llama(tokenizer), examples)
    measured = []
    for _ in range(2):
        with pytest.raises(TrialStopped):
            train(llama(tokenizer), examples, Checkpoints(tmp_path, "key"), measured=measured,
                  stops_at_rung=rung)  # fmt: skip
        assert kept_step(tmp_path) == step and measured == [0, 1][:rung]
    again, record, steps = train(
        llama(tokenizer), examples, Checkpoints(tmp_path, "key"), measured=measured
    )
    assert measured == [0, 1] and steps == 8 - step and record.resumed == (step, step)
    assert record.loss == expected.loss and torch.equal(flat(again), flat(whole))


def stopped_at_rung(tokenizer, examples, folder, **how):
    with pytest.raises(TrialStopped):
        train(llama(tokenizer), examples, Checkpoints(folder, "key"), stops_at_rung=0, **how)


def test_what_a_rung_that_was_interrupted_took_is_no_training(
    tokenizer, examples, tmp_path, monkeypatch
):
    clock, late = time.perf_counter, [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock() + late[0])

    def pause():
        late[0] += 10_000

    stopped_at_rung(tokenizer, examples, tmp_path, while_measuring=pause)
    (state,) = tmp_path.glob("*/state.json")
    assert json.loads(state.read_text())["loop"]["seconds"] < 5_000


def test_a_process_that_dies_while_it_writes_the_same_step_again(
    tokenizer, examples, tmp_path, monkeypatch
):
    """What it went on from is still there."""
    stopped_at_rung(tokenizer, examples, tmp_path)
    replace = os.replace

    def dies(old, new):
        if str(old).endswith(".partial"):
            raise Lost
        replace(old, new)

    monkeypatch.setattr("os.replace", dies)
    with pytest.raises(Lost):
        train(llama(tokenizer), examples, Checkpoints(tmp_path, "key"), stops_at_rung=0)
    monkeypatch.undo()
    assert kept_step(tmp_path) == 2
    stopped_at_rung(tokenizer, examples, tmp_path)
    assert [home.name for home in tmp_path.iterdir()] == ["checkpoint-00000002"]
    record = train(llama(tokenizer), examples, Checkpoints(tmp_path, "key"))[1]
    assert record.resumed == (2, 2)


def test_interrupted_twice_and_what_is_kept_beside(tokenizer, examples, tmp_path):
    whole, expected, _ = train(llama(tokenizer), examples)
    restored = []
    for after in (3, 3):  # the first is at 2 then, and the second stops after three more
        kept = Checkpoints(tmp_path, "key", more=lambda: {"a": 1.5}, restore=restored.append)
        with pytest.raises(TrialStopped):
            train(llama(tokenizer), examples, kept, stops_after=after)
    again, record, _ = train(llama(tokenizer), examples, Checkpoints(tmp_path, "key"))
    assert record.resumed == (3, 6) and restored == [{"a": 1.5}]
    assert record.loss == expected.loss and torch.equal(flat(again), flat(whole))


@pytest.fixture
def kept(tokenizer, examples, tmp_path):
    """A folder with a checkpoint after step 6."""
    with pytest.raises(TrialStopped):
        train(llama(tokenizer), examples, Checkpoints(tmp_path, "key"), stops_after=6)
    return tmp_path


def test_there_is_one_and_it_holds_what_moves(kept):
    (home,) = kept.iterdir()
    assert home.name == "checkpoint-00000006"
    from safetensors import safe_open

    (file,) = home.glob("*.safetensors")
    names = set(safe_open(file, "pt").keys())
    assert "model.layers.1.mlp.up_proj.weight/exp_avg_sq" in names and "random/cpu" in names
    assert not any(name.startswith("model.layers.0.") for name in names), "frozen, so not kept"
    assert kept_bytes(kept) == sum(f.stat().st_size for f in home.iterdir())
    forget(kept)
    assert not any(kept.iterdir()) and kept_step(kept) is None and kept_bytes(kept) == 0


def damage(home, what):
    (file,) = home.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    if what == "cut":
        file.write_bytes(content[:-100])
    elif what == "a bit":
        content[-500] ^= 1
        file.write_bytes(content)
    elif what == "no file":
        file.unlink()
    elif what == "state cut":
        (home / "state.json").write_text((home / "state.json").read_text()[:40])
    elif what == "half written":
        home.rename(home.with_name(home.name + ".partial"))
    elif what == "workers":
        state = json.loads((home / "state.json").read_text())
        (home / "state.json").write_text(json.dumps(state | {"world": 2}))


@pytest.mark.parametrize(
    "what, told",
    [
        ("cut", "damaged"),
        ("a bit", "damaged"),
        ("no file", "damaged"),
        ("state cut", "damaged"),
        ("half written", None),
        ("workers", "of another recipe, study, number of workers"),
        ("key", "of another recipe, study, number of workers"),
    ],
)
def test_what_cannot_be_used_is_not(tokenizer, examples, kept, what, told):
    damage(kept / "checkpoint-00000006", what)
    said = []
    key = "another" if what == "key" else "key"
    expected = train(llama(tokenizer), examples)[1]
    again = Checkpoints(kept, key, tell=said.append)
    _, record, steps = train(llama(tokenizer), examples, again)
    assert steps == 8 and record.resumed == () and record.loss == expected.loss
    assert [told in line for line in said] == ([True] if told else [])
    assert [home.name for home in kept.iterdir()] == ["checkpoint-00000004"]


def test_what_was_kept_stands_while_the_next_cannot_be_written(
    tokenizer, examples, kept, monkeypatch
):
    def full(tensors, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(FullDisk, match="no space left there"):
        train(llama(tokenizer), examples, Checkpoints(kept, "key"), stops_after=1)
    assert kept_step(kept) == 6
    monkeypatch.undo()
    assert train(llama(tokenizer), examples, Checkpoints(kept, "key"))[1].resumed == (6,)


def test_the_cadence_and_off(tokenizer, examples, tmp_path):
    assert not Checkpoints().on and not Checkpoints().due()
    assert not Checkpoints(tmp_path).due() and not Checkpoints(tmp_path, minutes=10).due()
    kept = Checkpoints(tmp_path, "key", minutes=0)
    with pytest.raises(Lost):
        train(llama(tokenizer), examples, kept, dies_after=7)
    assert kept_step(tmp_path) == 7
    shutil.rmtree(tmp_path / "checkpoint-00000007")
    with pytest.raises(Lost):
        train(llama(tokenizer), examples, dies_after=7)
    assert not any(tmp_path.iterdir())


def test_all_workers_raise_where_one_cannot_write(tmp_path):
    class Engine:
        def state(self):
            return {}

    answers = iter([False, True])  # the other worker failed to write its part
    process_group = ProcessGroup(0, 2, agree=lambda flag: next(answers))
    with pytest.raises(Exception, match="another worker"):
        Checkpoints(tmp_path, "key").save(Engine(), process_group, 3, {})
    assert kept_step(tmp_path) is None


def test_large_parts_are_cut_into_files(tmp_path):
    tensors = {name: torch.zeros(n) for name, n in {"a": 10, "b": 5, "c": 30, "d": 2}.items()}
    assert [list(group) for group in in_files(tensors, 64)] == [["a", "b"], ["c"], ["d"]]
    (tmp_path / "x").write_bytes(b"123456789")
    assert checksum(tmp_path / "x") == [9, 0xCBF43926]  # the check value of CRC-32


@pytest.mark.parametrize("kind", ["torch", "deepspeed"])
def test_the_scale_of_an_fp16_loss_is_kept(tokenizer, kind):
    def scaler(scale):
        if kind == "torch":
            return torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1)
        return pytest.importorskip("deepspeed.runtime.fp16.loss_scaler").DynamicLossScaler(
            scale, 2.0, 1000, 1, 2, False
        )

    first, second = (TorchEngine(llama(tokenizer), TRAINING, "fp32") for _ in range(2))
    first._scaler, second._scaler = scaler(64.0), scaler(8.0)
    numbers = scaler_numbers(first._scaler)
    assert numbers != scaler_numbers(second._scaler)
    second.load_state(first.state())
    assert scaler_numbers(second._scaler) == numbers and 64.0 in numbers.values()
    assert scaler_numbers(None) == {}


def test_of_a_model_with_adapters_only_those_are_kept(tokenizer, examples, tmp_path):
    """And it ends as one that was not interrupted, with the dropout that adapters have."""
    peft = pytest.importorskip("peft")

    def adapted(tokenizer):
        torch.manual_seed(5)
        config = peft.LoraConfig(r=4, lora_dropout=0.2, target_modules=["q_proj", "up_proj"])
        return peft.get_peft_model(llama(tokenizer), config)

    whole, expected, _ = train(adapted(tokenizer), examples)
    with pytest.raises(TrialStopped):
        train(adapted(tokenizer), examples, Checkpoints(tmp_path, "key"), stops_after=5)
    from safetensors import safe_open

    (file,) = tmp_path.glob("checkpoint-00000005/*.safetensors")
    names = {name for name in safe_open(file, "pt").keys() if not name.startswith("random/")}  # noqa: SIM118
    assert names and all("lora_" in name or name.startswith("scale") for name in names)
    again, record, _ = train(adapted(tokenizer), examples, Checkpoints(tmp_path, "key"))
    assert record.resumed == (5,) and record.loss == expected.loss
    assert torch.equal(flat(again), flat(whole))


def test_who_lost_the_trial_to_another_process_changes_nothing(tokenizer, examples, tmp_path):
    """Neither the checkpoint of the new one nor what it is just writing."""
    first, second = Owner(tmp_path, "workers"), Owner(tmp_path, "workers")
    first.take()
    before = Checkpoints(tmp_path, "a", 0.0, guard=first.check)
    with pytest.raises(TrialStopped):
        train(llama(tokenizer), examples, before, stops_after=2)
    second.take()
    (tmp_path / "checkpoint-00000003.partial").mkdir()
    kept = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(TakenOver, match="another process"):
        train(llama(tokenizer), examples, before, stops_after=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    after = Checkpoints(tmp_path, "a", 0.0, guard=second.check)
    record = train(llama(tokenizer), examples, after)[1]
    assert record.resumed == (2,)


def test_the_trial_may_be_taken_over_while_a_checkpoint_is_written(tokenizer, examples, tmp_path):
    first = Owner(tmp_path, "workers")
    first.take()
    asked = []

    def guard():
        asked.append(1)
        if len(asked) == 2:
            Owner(tmp_path, "workers").take()
        first.check()

    with pytest.raises(TakenOver):
        train(llama(tokenizer), examples, Checkpoints(tmp_path, "a", 0.0, guard=guard))
    assert kept_step(tmp_path) is None


def test_a_trial_that_has_ended_has_no_owner(tmp_path):
    owner = Owner(tmp_path, "trial")
    owner.take()
    Owner(tmp_path, "workers").take()
    owner.check()
    forget_owners(tmp_path)
    with pytest.raises(TakenOver, match="or ended it"):
        owner.check()
    assert not list(tmp_path.iterdir())
