#!/usr/bin/env python3
"""Training throughput in tokens per second: mtray compared with Hugging Face's `Trainer` and TRL's
`SFTTrainer`.

    python benchmarks/training.py [--rounds 3] [--threads 2] [--json FILE] [--trl FOLDER]
        [--model FOLDER] [--pairs de FILE en FILE] [--examples 4096] [--precision bf16]
        [--device cuda --params 1B]

Every side has the same model, examples (real pairs in a prompt, already token ids), global batch,
AdamW, learning rates, clipping and precision, computes the loss on the targets alone, and runs in a
process of its own, all of them in turn in each round, which has its own seed. Only the training
call is timed; loading and tokenising are not. Tokens are the examples' own, prompts with targets,
without padding. `held out` is the loss after training, in nats per target token, on pairs that were
not trained on: faster training must not be worse training. A packed batch of TRL has as many tokens
as an average batch.

    mtray, mtray-deepspeed        the loop of a trial with either engine
    trainer, trainer-grouped      `Trainer` as it is, and with `group_by_length`
    sft, sft-packed               `SFTTrainer` as it is, and with `packing`

mtray does not need TRL: `pip install --no-deps --target FOLDER trl` and `--trl FOLDER`. With
`--device cuda` the model has random weights in the shape of Llama (`--params`), its share of the
GPU's peak (`--peak`, TFLOP/s) is 6 * parameters * tokens per second, and `--zero` selects
DeepSpeed's stage.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from training_rivals import RATE, WARMUP, by_trainer, by_trl

SIDES = ("mtray", "mtray-deepspeed", "trainer", "trainer-grouped", "sft", "sft-packed")
BATCH, HELD_OUT = 32, 256
# hidden, layers, heads, key-value heads, inner: Llama 3.2 1B and 3B, 3.1 8B
SHAPES = {
    "1B": (2048, 16, 32, 8, 8192), "3B": (3072, 28, 24, 8, 8192), "8B": (4096, 32, 32, 8, 14336),
}  # fmt: skip


def pairs_of(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Prompts and targets, in a fixed disorder."""
    from mtray.data.templates import translation_prompt

    if args.pairs:
        source, source_file, target, target_file = args.pairs
        texts = [
            Path(f).read_text(encoding="utf-8").splitlines() for f in (source_file, target_file)
        ]
    else:
        import pyarrow.parquet as pq

        from mtray.embedded.corpora import prepare

        source, target = "en", "uk"
        table = pq.read_table(prepare() / "informal.en-uk.finetune.parquet").to_pydict()
        texts = [table[source], table[target]]
    pairs = list(zip(*texts, strict=True))
    random.Random(0).shuffle(pairs)
    return [(translation_prompt(a, source, target), b) for a, b in pairs]


def examples_of(args: argparse.Namespace) -> tuple[list[Any], list[Any]]:
    """To train on, and held out."""
    from mtray.data.store import build_table
    from mtray.training.models import load_tokenizer

    wanted = args.examples + HELD_OUT
    table = build_table(pairs_of(args)[: wanted + 1000], load_tokenizer(args.model), args.length)
    found = [table.example(row) for row in range(min(wanted, len(table)))]
    return found[HELD_OUT:], found[:HELD_OUT]


def model_of(args: argparse.Namespace) -> Any:
    import torch

    if not args.params:
        from mtray.training.models import load_model

        return load_model(args.model).to(args.device)
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden, layers, heads, kv, inner = SHAPES[args.params]
    config = LlamaConfig(
        vocab_size=128_256, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv, intermediate_size=inner, tie_word_embeddings=args.params != "8B",
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(args.device):
        return LlamaForCausalLM(config)


def by_mtray(args: argparse.Namespace, model: Any, examples: list[Any]) -> Any:
    """Seconds and the model, trained."""
    from mtray.runtime import keep_freed_memory
    from mtray.schema import Training
    from mtray.training.engine import build_engine
    from mtray.training.loop import Tuning, finetune

    keep_freed_memory()  # as a trial does
    name = "deepspeed" if args.side == "mtray-deepspeed" else "torch"
    if name == "deepspeed":
        os.environ.setdefault("DS_ACCELERATOR", args.device)
        import deepspeed  # noqa: F401  (imports are not timed)
    training = Training(
        batch_examples=args.batch, warmup=WARMUP, precision=args.precision, max_length=args.length,
        zero_stage=args.zero if name == "deepspeed" else 0,
        gradient_checkpointing=args.checkpointing,
    )  # fmt: skip
    start = time.perf_counter(), time.process_time()
    engine, _ = finetune(
        lambda m: build_engine(name, m, training, args.precision), model, examples,
        Tuning(training, args.precision, RATE, args.seed),
    )  # fmt: skip
    return start, engine.module


def held_out_loss(model: Any, examples: list[Any]) -> float:
    """Nats a target token, in fp32, one way for all sides."""
    import torch

    from mtray.schema import Training
    from mtray.training.engine import TorchEngine
    from mtray.training.losses import summed_loss, target_tokens

    model.eval().requires_grad_(True)
    engine = TorchEngine(model, Training(), "fp32")
    with torch.no_grad():
        nats = sum(float(summed_loss(engine, examples[i : i + 8])) for i in range(0, HELD_OUT, 8))
    return nats / sum(map(target_tokens, examples))


def measure(args: argparse.Namespace) -> None:
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    torch.manual_seed(1)
    train, held_out = examples_of(args)
    model = model_of(args)
    sides = {"mtray": by_mtray, "trainer": by_trainer, "sft": by_trl}
    (wall, cpu), model = sides[args.side.split("-")[0]](args, model, train)
    if args.device == "cuda":
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    tokens = sum(len(ids) for ids, _ in train)
    found = {"tokens": tokens, "seconds": wall, "cpu_seconds": cpu, "speed": tokens / wall}
    found["cpu_speed"] = tokens / cpu
    if args.device == "cuda":
        parameters = sum(p.numel() for p in model.parameters())
        found["share_of_peak"] = 6 * parameters * tokens / wall / (args.peak * 1e12)
        found["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    found["held_out"] = held_out_loss(model, held_out)
    args.out.write_text(json.dumps(found))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_side(side: str, given: list[str], args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One side in a process of its own, which is its process group's only one."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [
            sys.executable,
            __file__,
            *given,
            "--side",
            side,
            "--out",
            str(out),
            "--seed",
            str(seed),
        ]
        path = [*([str(args.trl)] if args.trl else []), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            "OMP_NUM_THREADS": str(args.threads), "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "TOKENIZERS_PARALLELISM": "false",
        }  # fmt: skip
        if side == "mtray-deepspeed":
            environment |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode or not out.is_file():
            raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def table(rounds: dict[str, list[dict[str, Any]]]) -> tuple[list[str], dict[str, Any]]:
    """Lines for people, and medians by side, with how many times as fast mtray is."""
    keys = next(iter(rounds.values()))[0].keys()
    medians: dict[str, Any] = {
        side: {k: statistics.median(r[k] for r in found) for k in keys}
        for side, found in rounds.items()
    }
    ours = medians.get("mtray")
    lines = ["| side | tokens/s | mtray is | tokens/s of CPU | mtray is | held out |"]
    lines.append("| --- " * 6 + "|")
    for side, found in medians.items():
        for name in ("speed", "cpu_speed"):
            found[f"{name}_ratio"] = ours[name] / found[name] if ours else float("nan")
        more = [f", {100 * found['share_of_peak']:.0f} % of peak, {found['memory_gib']:.1f} GiB"
                if "share_of_peak" in found else ""]  # fmt: skip
        lines.append(
            f"| {side} | {found['speed']:.0f}{more[0]} | {found['speed_ratio']:.2f} × | "
            f"{found['cpu_speed']:.0f} | {found['cpu_speed_ratio']:.2f} × | "
            f"{found['held_out']:.4f} |"
        )
    return lines, medians


def parse(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sides", nargs="+", choices=SIDES, default=SIDES)
    add("--model", default="embedded", help="'embedded' or a folder; its tokenizer with --params")
    add("--params", choices=SHAPES, help="random weights of that size")
    add("--pairs", nargs=4, metavar=("LANG", "FILE", "LANG", "FILE"), help="line-parallel text")
    add("--examples", type=int, default=4096)
    add("--length", type=int, default=256, help="most tokens of an example")
    add("--batch", type=int, default=BATCH, help="examples in a global batch")
    add("--rounds", type=int, default=3)
    add("--threads", type=int, default=2)
    add("--precision", choices=("fp32", "bf16"), default="bf16")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--peak", type=float, default=989.0, help="TFLOP/s of the GPU in bf16 (an H100's)")
    add("--zero", type=int, choices=range(4), default=0)
    add("--checkpointing", action="store_true", help="gradient checkpointing, on all sides")
    add("--trl", type=Path, help="the folder that holds the package trl")
    add("--json", type=Path)
    add("--side", choices=SIDES, help=argparse.SUPPRESS)
    add("--out", type=Path, help=argparse.SUPPRESS)
    add("--seed", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main() -> None:
    given = sys.argv[1:]
    args = parse(given)
    if args.side:
        measure(args)
        return
    rounds: dict[str, list[dict[str, Any]]] = {side: [] for side in args.sides}
    for number in range(args.rounds):
        for side in args.sides:
            rounds[side].append(run_side(side, given, args, number + 1))
            last = rounds[side][-1]
            print(
                f"{number + 1} {side:16} {last['speed']:8.0f} tokens/s, of CPU "
                f"{last['cpu_speed']:8.0f}, held out {last['held_out']:.4f}", flush=True,
            )  # fmt: skip
    lines, medians = table(rounds)
    print("\n".join(lines))
    if args.json:
        options = {k: str(v) for k, v in vars(args).items() if k not in ("side", "out", "json")}
        result = {"options": options, "medians": medians, "rounds": rounds}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
