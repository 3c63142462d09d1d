#!/usr/bin/env python3
"""Segments per second of a study's whole evaluation, generation and scoring: mtray compared with
the straightforward implementation.

    python benchmarks/evaluation.py [--rounds 3] [--threads 1] [--precision auto] [--json FILE]

Both sides have the same model, prompts, limits and end tokens, each in a process of its own, in
turn. Imports and loading the models are excluded on both. The
straightforward implementation: for every evaluation set `generate` in the file's order, eight
prompts at a time, left-padded; a loop of batches of eight for log-likelihoods; sacrebleu; and
comet's `predict` of every file, in the process for metrics, whose start is excluded on both. mtray:
its engine and its suite, which also counts failures and computes every bootstrap interval. Checked:
how many answers are identical, and the differences of log-likelihoods and scores.

One thread, as for a trial of the default study, so that two trials run on two cores. On a busy
machine several threads wait for each other, and the small batches of the straightforward
implementation suffer most. `--precision auto` is the setting of a trial (bf16 if the machine
computes in it; the other side keeps fp32); `fp32` keeps both in fp32.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROWS = 8
SIDES = ("plain", "mtray")


def batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def plain_answers(model: Any, tokenizer: Any, requests: Sequence[Any]) -> list[Any]:
    """One evaluation set by transformers alone, in its order."""
    import torch

    from mtray.data.tokenization import encode_examples, prompt_ids_batch
    from mtray.evaluation.inference.generation import newline_ids
    from mtray.evaluation.inference.requests import Output

    stops = [tokenizer.eos_token_id, *newline_ids(tokenizer)]
    found = []
    for batch in batches(requests, ROWS):
        if batch[0].target is None:
            ids = prompt_ids_batch(tokenizer, [r.prompt for r in batch])
            inputs = tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt")
            width = inputs["input_ids"].shape[1]
            out = model.generate(
                **inputs,
                max_new_tokens=batch[0].max_new_tokens,
                do_sample=False,
                eos_token_id=stops,
                pad_token_id=tokenizer.pad_token_id,
            )[:, width:]
            texts = tokenizer.batch_decode(out, skip_special_tokens=True)
            found += [Output(text.split("\n")[0].strip(), 0.0, 0) for text in texts]
            continue
        encoded = encode_examples(tokenizer, [(r.prompt, r.target) for r in batch], with_end=False)
        ids = [tokens for tokens, _ in encoded]
        inputs = tokenizer.pad({"input_ids": ids}, padding_side="right", return_tensors="pt")
        with torch.no_grad():
            scores = model(**inputs).logits.log_softmax(-1)
        for row, (request, (tokens, start)) in enumerate(zip(batch, encoded, strict=True)):
            picked = [
                scores[row, i - 1, tokens[i]].item() for i in range(max(1, start), len(tokens))
            ]
            found.append(Output(request.target, sum(picked), len(picked)))
    return found


def plain_scores(suite: Any, outputs: Sequence[Any]) -> dict[str, float]:
    """What a script would report: values, without intervals."""
    from sacrebleu.metrics import BLEU, CHRF

    from mtray.evaluation.abilities.base import Tools
    from mtray.evaluation.abilities.translation import Translation
    from mtray.evaluation.metrics.comet import load_comet

    metric = load_comet("embedded")
    by_direction, by_ability = suite.split(outputs)
    found = {}
    for direction, answers in zip(suite.directions, by_direction, strict=True):
        texts = [o.text for o in answers]
        found[f"bleu.{direction.name}"] = BLEU().corpus_score(texts, [direction.references]).score
        found[f"chrf.{direction.name}"] = CHRF().corpus_score(texts, [direction.references]).score
        scored = metric.scores(direction.sources, texts, direction.references)
        found[f"comet.{direction.name}"] = float(scored.mean())
    for ability, answers in zip(suite.abilities, by_ability, strict=True):
        if isinstance(ability, Translation):
            texts = [o.text for o in answers]
            found[ability.name] = CHRF().corpus_score(texts, [ability.references]).score
        else:  # nobody else's code measures these
            found[ability.name] = ability.measure(answers, Tools(lambda: metric)).point
    return found


def measure(side: str, precision: str, study_file: str | None, out: Path) -> None:
    """One pass of one side in this process; answers, scores and seconds go to `out`."""
    import torch

    from mtray.evaluation.inference.engine import run_requests
    from mtray.evaluation.metrics.comet import load_comet
    from mtray.evaluation.suite import build_suite
    from mtray.runtime import keep_freed_memory
    from mtray.sweep_command import arguments, load
    from mtray.training.engine import resolve_precision
    from mtray.training.models import load_model, load_tokenizer

    study, _ = load(arguments(["--study", study_file] if study_file else []))
    model, tokenizer = load_model(study.model), load_tokenizer(study.model)
    suite = build_suite(study, tokenizer)
    load_comet("embedded")  # its process starts before anything is timed
    parts = [d.requests for d in suite.directions] + [a.requests for a in suite.abilities]
    warm = [r for part in parts for r in part[:2]]
    training = study.training.model_copy(update={"precision": precision})
    native = resolve_precision(training, model.device.type) == "bf16"
    if side == "mtray":
        keep_freed_memory()  # as every trial does
    model.eval()

    def ours(requests: Sequence[Any]) -> list[Any]:
        return run_requests(
            model,
            tokenizer,
            requests,
            max_tokens_per_batch=study.evaluation.batch_tokens,
            autocast=torch.bfloat16 if native else None,
        )

    def theirs(lists: Sequence[Sequence[Any]]) -> list[Any]:
        return [o for requests in lists for o in plain_answers(model, tokenizer, requests)]

    ours(warm) if side == "mtray" else theirs([[r] for r in warm])
    start, worked = time.perf_counter(), time.process_time()
    outputs = ours(suite.requests) if side == "mtray" else theirs(parts)
    answered = time.perf_counter()
    if side == "mtray":
        result = suite.score(outputs, None, study.evaluation.bootstrap, study.seed)
        scores = {name: score.value for name, score in result.scores.items()}
    else:
        scores = plain_scores(suite, outputs)
    ended, worked = time.perf_counter(), time.process_time() - worked
    generated = [r.target is None for r in suite.requests]
    out.write_text(
        json.dumps(
            {
                "seconds": {"answers": answered - start, "scores": ended - answered},
                "cpu_seconds": worked,
                "texts": [o.text for o, g in zip(outputs, generated, strict=True) if g],
                "likelihoods": [
                    o.log_likelihood for o, g in zip(outputs, generated, strict=True) if not g
                ],
                "scores": scores,
                "precision": "bf16" if native and side == "mtray" else "fp32",
            }
        )
    )


def run_side(side: str, args: argparse.Namespace) -> dict[str, Any]:
    """One side in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [
            sys.executable, __file__, "--side", side, "--out", str(out),
            "--precision", args.precision, *(["--study", args.study] if args.study else []),
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode or not out.is_file():
            raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def compared(plain: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """How far the two sides' answers and scores agree."""
    same = [a == b for a, b in zip(plain["texts"], ours["texts"], strict=True)]
    gaps = [abs(a - b) for a, b in zip(plain["likelihoods"], ours["likelihoods"], strict=True)]
    return {
        "answers": len(same),
        "equal_texts": sum(same) / len(same),
        "likelihoods": len(gaps),
        "largest_gap_nats": max(gaps, default=0.0),
        "scores": {
            name: {"plain": value, "mtray": ours["scores"][name]}
            for name, value in plain["scores"].items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", help="another study (default: the embedded one)")
    parser.add_argument("--rounds", type=int, default=3, help="repeat both sides, in turn")
    parser.add_argument("--threads", type=int, default=1, help="of torch, on both sides")
    parser.add_argument("--precision", choices=("auto", "fp32"), default="auto")
    parser.add_argument("--json", type=Path, help="write every figure there")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        measure(args.side, args.precision, args.study, args.out)
        return
    seconds: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    worked: dict[str, list[float]] = {side: [] for side in SIDES}
    last: dict[str, Any] = {}
    for _ in range(args.rounds):
        for side in SIDES:
            last[side] = run_side(side, args)
            seconds[side].append(last[side]["seconds"])
            worked[side].append(last[side]["cpu_seconds"])
            shown = ", ".join(f"{k} {v:.2f} s" for k, v in seconds[side][-1].items())
            print(f"{side:6} {shown}, of CPU {worked[side][-1]:.2f} s", flush=True)
    agreement = compared(last["plain"], last["mtray"])
    count = agreement["answers"] + agreement["likelihoods"]
    medians = {s: statistics.median(sum(r.values()) for r in seconds[s]) for s in SIDES}
    ratio = medians["plain"] / medians["mtray"]
    for side in SIDES:
        speed = count / medians[side]
        print(f"{side:6} {medians[side]:.2f} s for {count} segments, {speed:.0f} a second")
    cpu = statistics.median(worked["plain"]) / statistics.median(worked["mtray"])
    print(
        f"mtray is {ratio:.2f} times as fast ({last['mtray']['precision']}, other side fp32); "
        f"by CPU time, which a busy machine touches less, {cpu:.2f} times"
    )
    print(
        f"equal texts: {agreement['equal_texts']:.2%} of {agreement['answers']}; "
        f"log-likelihoods differ by at most {agreement['largest_gap_nats']:.2g} nats"
    )
    for name, pair in agreement["scores"].items():
        print(f"  {name}: {pair['plain']:.4f} {pair['mtray']:.4f}")
    if args.json:
        result = {
            "threads": args.threads, "seconds": seconds, "medians": medians, "ratio": ratio,
            "cpu_seconds": worked, "cpu_ratio": cpu,
            "segments": count, "precision": last["mtray"]["precision"], "agreement": agreement,
        }  # fmt: skip
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
