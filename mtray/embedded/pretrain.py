"""Train the tokenizer and the base model of the default study from scratch: `python -m
mtray.embedded.pretrain`.

The model has the Llama architecture and is trained only on the `pretrain` split of the corpora:
monolingual text of three languages and a limited number of instructed examples, so that it has
abilities to lose: translation in several directions, formality-steered translation, and few-shot
prompts that name no task. Checkpoints are in `--work`; the same command resumes from the last one.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mtray.embedded.corpora import prepare
from mtray.embedded.pretraining_texts import SHARES, Texts, pretraining_texts
from mtray.paths import BASE_MODEL
from mtray.runtime import keep_freed_memory

SPECIALS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
VOCABULARY, WIDTH, LAYERS, HEADS, FEED_FORWARD = 4096, 192, 6, 4, 512
MAX_TOKENS = 160


def train_tokenizer(texts: Texts, seed: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with `VOCABULARY` entries, trained on equal amounts of every task."""
    rng = random.Random(seed)
    sample = [t for found in texts.values() for t in rng.sample(found, min(len(found), 20_000))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIALS.values()),
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(sample, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        padding_side="left",
        model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **SPECIALS,
    )


def encode(texts: Texts, tokenizer: PreTrainedTokenizerFast) -> dict[str, list[np.ndarray]]:
    """Token ids with the begin and end tokens; texts over `MAX_TOKENS` are left out."""
    out = {}
    for task, found in texts.items():
        ids = tokenizer(found, add_special_tokens=False)["input_ids"]
        whole = ([tokenizer.bos_token_id, *i, tokenizer.eos_token_id] for i in ids)
        out[task] = [np.asarray(i, np.int16) for i in whole if len(i) <= MAX_TOKENS]
    return out


def batches(
    data: dict[str, list[np.ndarray]], tokens: int, pad: int, rng: random.Random
) -> Iterator[torch.Tensor]:
    """Endless batches of at most `tokens` tokens, shape (examples, longest), grouped by length;
    padding is `pad`."""
    mean = {task: float(np.mean([len(i) for i in found[:5000]])) for task, found in data.items()}
    tasks = list(SHARES)
    weights = [SHARES[t] / mean[t] for t in tasks]
    queues: dict[str, list[int]] = {task: [] for task in tasks}
    while True:
        pool = []
        for task in rng.choices(tasks, weights, k=16_384):
            if not queues[task]:
                queues[task] = rng.sample(range(len(data[task])), len(data[task]))
            pool.append(data[task][queues[task].pop()])
        pool.sort(key=len)
        cut: list[np.ndarray] = []
        groups: list[list[np.ndarray]] = []
        for ids in pool:
            if (len(cut) + 1) * len(ids) > tokens:
                groups.append(cut)
                cut = []
            cut.append(ids)
        rng.shuffle(groups)
        for group in groups:
            batch = np.full((len(group), len(group[-1])), pad, np.int64)
            for row, ids in zip(batch, group, strict=True):
                row[: len(ids)] = ids
            yield torch.from_numpy(batch)


def loss_of(model: LlamaForCausalLM, batch: torch.Tensor, pad: int) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=batch, use_cache=False).logits
    # right-padded and causal: no token attends to the padding after it, so no attention mask is
    # needed
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), batch[:, 1:].flatten(), ignore_index=pad
    )


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS,
        intermediate_size=FEED_FORWARD, num_attention_heads=HEADS, num_key_value_heads=HEADS,
        tie_word_embeddings=True, max_position_embeddings=512, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    ))  # fmt: skip


def optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside the blocks, AdamW for embeddings and
    norms."""
    inner = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    outer = [p for n, p in model.named_parameters() if not (p.ndim == 2 and "embed" not in n)]
    return [
        torch.optim.Muon(inner, lr=0.02, weight_decay=0.01),
        torch.optim.AdamW(outer, lr=3e-3, weight_decay=0.0),
    ]


def schedule(done: float) -> float:
    """Factor on the learning rate at a share `done` of all tokens: short warm-up, constant, linear
    to zero over the last half."""
    return min(1.0, done / 0.01, max(0.0, (1 - done) / 0.5))


def train(args: argparse.Namespace) -> None:
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    folder = prepare()
    texts = pretraining_texts(folder, args.seed)
    tokenizer = train_tokenizer(texts, args.seed)
    data = encode(texts, tokenizer)
    print(
        {t: (len(d), round(float(np.mean([len(i) for i in d])), 1)) for t, d in data.items()},
        flush=True,
    )
    held_out = {t: d[-200:] for t, d in data.items()}
    data = {t: d[:-200] for t, d in data.items()}
    model, pad = new_model(tokenizer, args.seed), tokenizer.pad_token_id
    optimizer = optimizers(model)
    base_rates = [[g["lr"] for g in o.param_groups] for o in optimizer]
    state: dict[str, Any] = {"step": 0, "tokens": 0, "loss": math.nan}
    checkpoint = work / "checkpoint.pt"
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        for o, s in zip(optimizer, saved["optimizers"], strict=True):
            o.load_state_dict(s)
        state = saved["state"]
    # a new order after resuming: the seed includes the step
    stream = batches(
        data, args.batch_tokens, pad, random.Random(args.seed * 1_000_003 + state["step"])
    )
    started, seen, mean = time.time(), 0, []
    while state["tokens"] < args.tokens:
        batch = next(stream)
        factor = schedule(max(state["tokens"], 1) / args.tokens)
        for o, rates in zip(optimizer, base_rates, strict=True):
            for group, rate in zip(o.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        loss = loss_of(model, batch, pad)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for o in optimizer:
            o.step()
            o.zero_grad(set_to_none=True)
        state["step"] += 1
        tokens = int((batch != pad).sum())
        state["tokens"] += tokens
        seen += tokens
        mean.append(loss.item())
        if state["step"] % 100 == 0:
            state["loss"] = sum(mean) / len(mean)
            mean.clear()
            speed = seen / (time.time() - started)
            print(
                f"step {state['step']} tokens {state['tokens'] / 1e6:.2f}M "
                f"loss {state['loss']:.3f} {speed:.0f} tok/s",
                flush=True,
            )
        if state["step"] % 500 == 0:
            save(work, checkpoint, model, optimizer, state, tokenizer)
            print("  held-out", losses(model, held_out, pad), flush=True)
    save(work, checkpoint, model, optimizer, state, tokenizer)
    record = {
        "tokens": state["tokens"], "steps": state["step"], "train_loss": state["loss"],
        "seed": args.seed, "batch_tokens": args.batch_tokens,
        "held_out_loss": losses(model, held_out, pad), "shares": SHARES, "torch": torch.__version__,
    }  # fmt: skip
    (work / "model" / "training.json").write_text(json.dumps(record, indent=1) + "\n")


@torch.no_grad()
def losses(
    model: LlamaForCausalLM, held_out: dict[str, list[np.ndarray]], pad: int
) -> dict[str, float]:
    out = {}
    for task, found in held_out.items():
        batch = np.full((len(found), max(map(len, found))), pad, np.int64)
        for row, ids in zip(batch, found, strict=True):
            row[: len(ids)] = ids
        out[task] = round(loss_of(model, torch.from_numpy(batch), pad).item(), 3)
    return out


def save(
    work: Path, checkpoint: Path, model: Any, optimizer: Any, state: Any, tokenizer: Any
) -> None:
    """Save a checkpoint to resume from and the model folder in bfloat16, as it is committed."""
    partial = checkpoint.with_suffix(".partial")
    torch.save(
        {
            "model": model.state_dict(),
            "optimizers": [o.state_dict() for o in optimizer],
            "state": state,
        },
        partial,
    )
    partial.replace(checkpoint)
    weights = {k: v.to(torch.bfloat16) for k, v in model.state_dict().items()}
    LlamaForCausalLM.from_pretrained(
        None, config=model.config, state_dict=weights, dtype=torch.bfloat16, trust_remote_code=False
    ).save_pretrained(work / "model")
    tokenizer.save_pretrained(work / "model")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work",
        default="pretraining",
        help="folder for checkpoints; the model ends up in WORK/model",
    )
    parser.add_argument("--tokens", type=int, default=16_000_000)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    train(args)
    print(f"done; to ship it: copy the files of {args.work}/model to {BASE_MODEL}")


if __name__ == "__main__":
    main()
