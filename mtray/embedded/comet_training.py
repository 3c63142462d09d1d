"""The part of `train_comet` that needs comet. It runs by path in the metrics interpreter, which has
nothing of mtray:

    .venv-metrics/bin/python -I mtray/embedded/comet_training.py INPUT OUT

INPUT is the folder that `train_comet` writes: tokenizer.json (texts), pairs.json (texts),
examples.jsonl (what `predict` takes, with a `score`) and settings.json. OUT gets the model, and
INPUT the figures of the training (figures.json).
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import XLMRobertaConfig, XLMRobertaTokenizerFast

Sample = dict[str, Any]

VOCABULARY, WIDTH, LAYERS, HEADS, FEED_FORWARD = 12_000, 128, 2, 4, 512
HIDDEN = [256, 64]
POSITIONS = 258  # XLM-R's positions start at 2
DROPOUT = 0.05
SPECIALS = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}  # as XLM-R has them


def train_tokenizer(texts: Sequence[str]) -> XLMRobertaTokenizerFast:
    """Unigram (Kudo 2018) on lower-cased text: the metric ignores case."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIALS), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(name, SPECIALS[name]) for name in ("<s>", "</s>")],
    )
    return XLMRobertaTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS - 2)


def crosslingual_vectors(texts: Sequence[str], tokenizer: Any, seed: int) -> np.ndarray:
    """Initial embeddings: unit vectors of shape (vocabulary, WIDTH), by latent semantics.

    A text is an English sentence with its translations, so words that translate each other get
    similar vectors (Littman, Dumais and Landauer 1998); randomised SVD of Halko et al. (2011).
    """
    from scipy.sparse import coo_matrix

    ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    rows = np.repeat(np.arange(len(ids)), [len(i) for i in ids])
    columns = np.concatenate([np.asarray(i, np.int64) for i in ids])
    shape = (len(ids), len(tokenizer))
    counts = coo_matrix((np.ones(len(rows)), (rows, columns)), shape).tocsr()
    counts.data = np.log1p(counts.data)
    documents = np.maximum(np.asarray((counts > 0).sum(axis=0)), 1)
    matrix = counts.multiply(np.log(shape[0] / documents)).tocsr()
    basis = np.random.default_rng(seed).standard_normal((shape[0], WIDTH + 20))
    for _ in range(4):
        basis, _triangle = np.linalg.qr(matrix @ (matrix.T @ basis))
    _left, values, right = np.linalg.svd((matrix.T @ basis).T, full_matrices=False)
    vectors = right[:WIDTH].T * np.sqrt(values[:WIDTH])
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))


def new_model(encoder: Path, tokenizer: Any, vectors: np.ndarray, seed: int) -> Any:
    """A `RegressionMetric` over a new encoder whose config and tokenizer are written to
    `encoder`."""
    from comet.models import RegressionMetric

    tokenizer.save_pretrained(encoder)
    XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, intermediate_size=FEED_FORWARD, type_vocab_size=1,
        max_position_embeddings=POSITIONS, bos_token_id=0, pad_token_id=1, eos_token_id=2,
        hidden_dropout_prob=DROPOUT, attention_probs_dropout_prob=0.0,
    ).save_pretrained(encoder)  # fmt: skip
    torch.manual_seed(seed)
    model = RegressionMetric(
        encoder_model="XLM-RoBERTa", pretrained_model=str(encoder), local_files_only=True,
        load_pretrained_weights=False, nr_frozen_epochs=0, keep_embeddings_frozen=False,
        layer_transformation="softmax", layer_norm=False, dropout=DROPOUT,
        hidden_sizes=HIDDEN, final_activation="Sigmoid",
    )  # fmt: skip
    with torch.no_grad():
        table = model.encoder.model.embeddings.word_embeddings.weight
        table.copy_(torch.from_numpy(vectors))
        table[SPECIALS["<pad>"]] = 0.0
    return model


def batches(found: list[Sample], size: int, rng: random.Random) -> Iterator[list[Sample]]:
    """Every example once, in random batches of similar length."""
    order = rng.sample(found, len(found))
    for start in range(0, len(order), size * 64):
        pool = sorted(order[start : start + size * 64], key=lambda e: len(e["src"]) + len(e["ref"]))
        groups = [pool[i : i + size] for i in range(0, len(pool), size)]
        yield from rng.sample(groups, len(groups))


def optimizer_of(model: Any, args: argparse.Namespace, steps: int) -> tuple[Any, Any]:
    """AdamW and its schedule: 100 steps of warm-up, linear decay to zero."""
    by_name = dict(model.named_parameters())
    table = [by_name.pop(n) for n in list(by_name) if "word_embeddings" in n]
    optimizer = torch.optim.AdamW(
        [
            {"params": list(by_name.values()), "lr": args.rate, "weight_decay": 0.01},
            {"params": table, "lr": args.embedding_rate, "weight_decay": 0.0},
        ]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 100, max(0.0, 1 - step / steps))
    )
    return optimizer, schedule


def fit(model: Any, found: list[Sample], args: argparse.Namespace) -> dict[str, float]:
    """One pass over the examples with comet's own loss; tokens are counted without padding."""
    steps = -(-len(found) // args.batch)
    optimizer, schedule = optimizer_of(model, args, steps)
    model.train()
    losses: list[float] = []
    tokens, started = 0, time.process_time()
    for step, batch in enumerate(batches(found, args.batch, random.Random(args.seed)), 1):
        inputs, target = model.prepare_sample(batch, stage="fit")
        loss = model.compute_loss(model(**inputs), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        tokens += sum(int(inputs[f"{side}_attention_mask"].sum()) for side in ("src", "mt", "ref"))
        if step % 100 == 0:
            print(f"step {step}/{steps} loss {np.mean(losses[-100:]):.4f}", flush=True)
    return {
        "steps": steps,
        "examples": len(found),
        "tokens": tokens,
        "first_loss": round(float(np.mean(losses[:100])), 5),
        "last_loss": round(float(np.mean(losses[-200:])), 5),
        "cpu_seconds": round(time.process_time() - started),
    }


def save(model: Any, out: Path, kind: str = "regression_metric") -> None:
    """`out`/hparams.yaml and `out`/checkpoints/model.ckpt, by Lightning's `save_checkpoint`.

    `kind`: comet's name of the model's class. Then the training state is dropped, weights become
    float16 and the encoder's folder is written relative to hparams.yaml, which
    `mtray.evaluation.metrics.worker` makes absolute on loading.
    """
    import pytorch_lightning
    import yaml

    checkpoint = out / "checkpoints" / "model.ckpt"
    trainer = pytorch_lightning.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False
    )
    trainer.strategy.connect(model)
    trainer.save_checkpoint(checkpoint, weights_only=True)
    saved = torch.load(checkpoint, weights_only=True)
    hparams = dict(saved["hyper_parameters"]) | {"pretrained_model": "./encoder"}
    weights = {n: w.half() if w.is_floating_point() else w for n, w in saved["state_dict"].items()}
    kept = {"pytorch-lightning_version": saved["pytorch-lightning_version"], "epoch": 0,
            "global_step": 0, "state_dict": weights, "hyper_parameters": hparams}  # fmt: skip
    torch.save(kept, checkpoint)
    text = yaml.safe_dump(hparams | {"class_identifier": kind})
    (out / "hparams.yaml").write_text(text)


def train(given: Path, out: Path) -> None:
    """Train on the texts of the folder `given`."""

    def read(name: str) -> Any:
        return json.loads((given / name).read_text(encoding="utf-8"))

    args = argparse.Namespace(**read("settings.json"))
    torch.set_num_threads(args.threads)
    tokenizer = train_tokenizer(read("tokenizer.json"))
    vectors = crosslingual_vectors(read("pairs.json"), tokenizer, args.seed)
    model = new_model(out / "encoder", tokenizer, vectors, args.seed)
    with open(given / "examples.jsonl", encoding="utf-8") as file:
        figures = fit(model, [json.loads(line) for line in file], args)
    save(model, out)
    figures["parameters"] = sum(p.numel() for p in model.parameters())
    found = {"training": figures, "torch": torch.__version__}
    (given / "figures.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # Lightning's tips
    train(Path(sys.argv[1]), Path(sys.argv[2]))
