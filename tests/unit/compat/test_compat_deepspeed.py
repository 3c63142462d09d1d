"""What we take of DeepSpeed beyond its interface is still there, in a process group of one."""

import gc
import inspect
from types import SimpleNamespace

import pytest
import torch
from tiny_models import byte_level, examples_of, llama

from mtray.compat.deepspeed import (
    SHM_ALL_REDUCE,
    gathered,
    inner_optimizer,
    is_sharded,
    loss_scaler,
    scaler_fields,
    set_scaler_fields,
    shards,
    shards_written,
    without_compiled_all_reduce,
)
from mtray.errors import TrainError
from mtray.retrain import alone
from mtray.schema import Training
from mtray.training import engine as engine_module
from mtray.training.losses import summed_loss

pytest.importorskip("deepspeed")
# of torch, on what DeepSpeed calls
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning"),
]
STAGES = [0, 1, 2, 3]
TOKENIZER = byte_level()
EXAMPLES = examples_of(TOKENIZER, [("a bad cab ->", "abba"), ("dad ->", "bee")])


@pytest.fixture(scope="module", autouse=True)
def group():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DS_ACCELERATOR", "cpu")
        for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}.items():
            patch.setenv(name, value)
        with alone():
            yield


@pytest.fixture(autouse=True)
def linear(monkeypatch):
    """ZeRO-3 puts its own in the place of torch's, for all tests that come later, too."""
    monkeypatch.setattr(torch.nn.functional, "linear", torch.nn.functional.linear)


@pytest.fixture
def build(monkeypatch):
    """An engine of a ZeRO stage, whose small weights are in shards as large ones would be."""
    told = engine_module.deepspeed_config

    def without_whole_ones(*args):
        config = told(*args)
        zero = {**config["zero_optimization"], "stage3_param_persistence_threshold": 0}
        return {**config, "zero_optimization": zero}

    monkeypatch.setattr(engine_module, "deepspeed_config", without_whole_ones)
    engines = []

    def made(stage, seed=3):
        torch.manual_seed(seed)
        training = Training(zero_stage=stage)
        engine = engine_module.build_engine("deepspeed", llama(TOKENIZER), training, "fp32")
        engines.append(engine)
        return engine

    yield made
    for engine in engines:  # ZeRO-3's holds a bucket of 2 GB, and nothing frees it but this
        engine.close()


def trained(engine, steps):
    for _ in range(steps):
        engine.backward(summed_loss(engine, EXAMPLES) / 10, last=True)
        engine.step(3e-3)
    return engine


def weights(engine):
    with engine.whole() as module:
        return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


@pytest.mark.parametrize("stage", STAGES)
def test_shards_and_optimiser_put_back_go_on_as_if_never_left(build, stage):
    engine = trained(build(stage), 2)
    state = {name: tensor.clone() for name, tensor in engine.state().items()}
    assert all(torch.is_tensor(t) for t in state.values())
    other = build(stage, seed=9)
    other.load_state(state)
    assert torch.equal(weights(other), weights(engine))
    assert torch.equal(weights(trained(other, 2)), weights(trained(engine, 2)))


@pytest.mark.parametrize("stage", STAGES[1:])
def test_shards_that_are_written_are_the_module_s_weights(build, stage):
    engine = build(stage)
    inner = engine._engine
    moved = [p for g in inner_optimizer(inner).param_groups for p in g["params"]]
    assert isinstance(inner_optimizer(inner), torch.optim.Optimizer)
    if stage < 3:  # ZeRO-3 gives its optimiser one of them at a time
        assert [id(p) for p in shards(inner)] == [id(p) for p in moved]
    with shards_written(inner):
        for shard in shards(inner):
            shard.data.fill_(0.25)
    assert bool((weights(engine) == 0.25).all())


@pytest.mark.parametrize("stage", STAGES)
def test_only_zero_3_holds_weights_in_shards(build, stage):
    from deepspeed.runtime.zero.partition_parameters import is_zero_param

    found = {is_sharded(p) for p in build(stage).module.parameters()}
    assert found == {stage == 3}
    assert {bool(is_zero_param(p)) for p in build(stage).module.parameters()} == found


@pytest.fixture(params=["by the hooks", "by the public way"])
def way(request):
    from deepspeed.runtime.zero.parameter_offload import DeepSpeedZeRoOffload

    assert callable(DeepSpeedZeRoOffload._remove_module_hooks)
    with pytest.MonkeyPatch.context() as patch:  # over before the engines are closed
        if request.param == "by the public way":
            patch.delattr(DeepSpeedZeRoOffload, "_remove_module_hooks")
        yield


def test_a_gathered_module_computes_alone_and_then_trains_on(build, way):
    ids = torch.tensor([list(EXAMPLES[0][0])])
    expected = trained(build(3), 4)
    engine = trained(build(3), 2)
    whole = llama(TOKENIZER)
    assert any(p.numel() == 0 for p in engine.module.parameters())
    with gathered(engine._engine), torch.no_grad():
        shapes = [p.shape for p in engine.module.parameters()]
        assert shapes == [p.shape for p in whole.parameters()]
        whole.load_state_dict(engine.module.state_dict())
        assert torch.equal(engine.module(ids).logits, whole(ids).logits)
    assert torch.equal(weights(trained(engine, 2)), weights(expected))


def test_an_error_within_leaves_an_engine_that_trains(build, way):
    engine = build(3)
    with pytest.raises(ZeroDivisionError, match="within"), gathered(engine._engine):
        raise ZeroDivisionError("within")
    assert torch.equal(weights(trained(engine, 2)), weights(trained(build(3), 2)))


def test_without_the_hooks_several_workers_are_an_error_and_no_deadlock():
    engine = SimpleNamespace(world_size=2, optimizer=SimpleNamespace(parameter_offload=None))
    with pytest.raises(TrainError, match=r"zero_stage 3 with 2 workers.*allowed: 0, 1, 2"):
        gathered(engine).__enter__()


@pytest.mark.parametrize("stage", STAGES)
def test_what_scales_the_loss_is_found(build, stage):
    scaler = loss_scaler(build(stage)._engine)
    # of an engine in fp32: none at all, or one that does nothing
    assert scaler is None if stage == 0 else scaler_fields(scaler) == {"cur_scale": 1.0}


def test_a_loss_scaler_put_back_goes_on_as_the_other():
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler

    def made():
        return DynamicLossScaler(64.0, 2, 1.0, 1, False)

    first, second = made(), made()
    assert not hasattr(first, "state_dict")
    for overflow in (True, False, False):
        first.update_scale(overflow)
    assert scaler_fields(first)["cur_scale"] == 32.0
    set_scaler_fields(second, scaler_fields(first))
    for _ in range(4):
        first.update_scale(False)
        second.update_scale(False)
    assert scaler_fields(first) == scaler_fields(second) != scaler_fields(made())


def test_the_all_reduce_in_shared_memory_is_not_compiled():
    import deepspeed.ops
    from deepspeed.comm.torch import build_shm_op
    from deepspeed.ops.op_builder.cpu.comm import ShareMemCommBuilder

    without_compiled_all_reduce()
    assert ShareMemCommBuilder.NAME == SHM_ALL_REDUCE
    assert deepspeed.ops.__compatible_ops__[SHM_ALL_REDUCE] is False
    assert "__compatible_ops__.get(builder.NAME" in inspect.getsource(build_shm_op)


@pytest.mark.parametrize("stage", STAGES[1:])
def test_deepspeed_s_own_checkpoint_is_still_a_pickle(build, stage, tmp_path):
    """Where this fails, its `save_checkpoint` and `load_checkpoint` may do what we do by hand."""
    trained(build(stage), 1)._engine.save_checkpoint(str(tmp_path), tag="one")
    (file,) = tmp_path.glob("one/*_optim_states.pt")
    with pytest.raises(Exception, match=r"Unsupported global: GLOBAL deepspeed\."):
        torch.load(file, weights_only=True)


def bytes_of_tensors():
    gc.collect()
    storages = (t.untyped_storage() for t in gc.get_objects() if isinstance(t, torch.Tensor))
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


def test_a_closed_engine_of_zero_3_frees_its_bucket(build):
    """Of 2 GB, whatever the size of the model: executors and these tests build many engines."""
    before = bytes_of_tensors()
    engine = trained(build(3), 1)
    with_it = bytes_of_tensors()
    engine.close()
    del engine
    assert with_it - before > 1e9, "it is small now: nothing depends on closing engines"
    assert bytes_of_tensors() - before < 1e8


@pytest.mark.parametrize("stage", STAGES)
def test_an_engine_leaves_torch_as_it_was(build, stage):
    """ZeRO-3 replaces torch's linear layer, which then casts weights at every call."""
    functional = torch.nn.functional
    before = functional.linear
    engine = trained(build(stage), 1)
    assert (functional.linear is before) == (stage < 3), "it does so no longer: remove the work"
    with engine.whole():
        assert functional.linear is before
    assert (functional.linear is before) == (stage < 3)
    engine.close()
    assert functional.linear is before
