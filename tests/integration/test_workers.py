"""Two workers of one trial, with DeepSpeed and without Ray: they answer as one does, on rungs and
at the end, also where ZeRO-3 leaves none of them a whole model; and none waits for a dead one."""

import os
import signal

import pytest
import torch
import yaml
from process_group import free_port, worker

from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.output_files import read_outputs
from mtray.evaluation.suite import build_suite
from mtray.report.records import read_records
from mtray.study import load_study
from mtray.training.models import load_model, load_tokenizer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]
STEPS = 8


@worker
def work(place, stage, out, dies, method):
    """Train a tiny model, answer at a rung and at the end; rank 0 saves both answers. Adapters are
    trained with gradient checkpointing, too."""
    from tiny_models import byte_level, examples_of, llama

    from mtray.evaluation.inference.batching import Settings
    from mtray.evaluation.inference.engine import answer_part, joined
    from mtray.evaluation.inference.requests import Request
    from mtray.schema import Recipe, Training
    from mtray.training.adapters import prepare
    from mtray.training.engine import build_engine
    from mtray.training.loop import RungSchedule, Tuning, finetune
    from mtray.training.worker import Worker

    tokenizer = byte_level()
    texts = [("a bad cab ->", "abba"), ("dad ->", "bee"), ("fed a bee ->", "cab")] * 6
    examples = examples_of(tokenizer, texts)
    asked = [Request(p, t, 16) for p, _ in texts[:3] for t in (None, "bad dad", "cab")]
    asked += [Request(f"{'a bad cab ' * n}->", None, 16) for n in range(1, 9)]
    kept = []

    def answer(module):
        part = answer_part(Settings(module, tokenizer, 200), asked, (place.rank, place.world))
        if dies and place.rank:
            os.kill(os.getpid(), signal.SIGKILL)
        parts = place.gather(part)
        if not place.rank:
            kept.append([(o.text, o.log_likelihood) for o in joined(asked, parts)])
        return False

    lora = method == "lora"
    training = Training(
        batch_examples=9, epochs=4, zero_stage=stage, packing="on", gradient_checkpointing=lora
    )
    recipe = Recipe(parallel_size=1, frozen_layers=1 - lora, method=method)
    torch.manual_seed(0)
    model = prepare(llama(tokenizer), recipe, training, 1).model
    assert 4 * len(examples) // 9 == STEPS
    engine, record = finetune(
        lambda m: build_engine("deepspeed", m, training, "fp32"),
        model,
        examples,
        Tuning(training, "fp32", 3e-3, seed=1),
        worker=Worker(place),
        rungs=RungSchedule((0.4,), lambda _, module: answer(module)),
    )
    with engine.whole() as module:
        answer(module)
    if not place.rank:
        torch.save((record.loss, kept), out)


def run(folder, world, stage, method="full"):
    out = folder / f"{world}-{stage}.pt"
    torch.multiprocessing.spawn(work, (world, free_port(), stage, out, False, method), nprocs=world)
    return torch.load(out)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one worker does, by method."""
    return {m: run(tmp_path_factory.mktemp(m), 1, 0, m) for m in ("full", "lora")}


@pytest.mark.parametrize("stage, method", [(0, "full"), (3, "full"), (3, "lora")])
def test_two_workers_answer_as_one(alone, stage, method, tmp_path):
    """In packed rows, with the same loss at every step."""
    loss, answers = run(tmp_path, 2, stage, method)
    expected_loss, expected_answers = alone[method]
    # the steps after the rung as well: answering leaves the engine as it was
    assert [step for step, _ in loss] == list(range(1, STEPS + 1))
    assert [x for _, x in loss] == pytest.approx([x for _, x in expected_loss], rel=1e-4)
    assert len(answers) == 2 and answers[0] != answers[1]
    for found, expected in zip(answers, expected_answers, strict=True):
        assert [text for text, _ in found] == [text for text, _ in expected]
        assert [v for _, v in found] == pytest.approx([v for _, v in expected], abs=1e-2)


def test_the_death_of_one_worker_ends_the_other(tmp_path):
    """By itself, long before the time limit of the process group."""
    processes = torch.multiprocessing.start_processes(
        work, (2, free_port(), 0, tmp_path / "none.pt", True, "full"), nprocs=2, join=False
    ).processes
    try:
        processes[1].join(120)
        assert processes[1].exitcode == -signal.SIGKILL
        processes[0].join(60)
        assert processes[0].exitcode == 1
    finally:
        for process in processes:
            process.kill()


def test_a_sweep_whose_trials_have_two_workers(sweep, small, tmp_path):
    """Both answer, at rungs too, and what comes back is what the model says."""
    study = yaml.safe_load((small / "study.yaml").read_text())
    study["resources"] = {"workers": 2, "cpus_per_worker": 1}
    study["early_stopping"] = {"rungs": [0.3, 0.6], "segments": 0.5}
    study["budget"]["baselines"] = "none"
    space = {"parallel_size": 128, "mono_ratio": {"type": "float", "low": 0.0, "high": 1.0}}
    for name, content in (("study", study), ("space", space)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    file, space_file = tmp_path / "study.yaml", tmp_path / "space.yaml"
    process = sweep("--study", str(file), "--space", str(space_file), "--trials", "1")
    output = process.communicate()[0]
    assert process.returncode == 0, output
    records = {r.number: r for r in read_records(tmp_path / "small").sound()}
    assert {n: r.state for n, r in records.items()} == {-1: "complete", 0: "complete"}
    assert len(records[0].rungs) == 2 and all(r.objectives for r in records[0].rungs)
    suite = build_suite(load_study(file), load_tokenizer("embedded"))
    answered = read_outputs(tmp_path / "small" / "trials/base/outputs.parquet", suite.requests)
    found = run_requests(load_model("embedded"), load_tokenizer("embedded"), suite.requests)
    # the sweep computes in bf16 where the machine does
    same = sum(a.text == b.text for a, b in zip(answered, found, strict=True))
    assert same >= 0.9 * len(found)
