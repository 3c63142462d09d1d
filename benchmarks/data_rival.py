"""The `datasets` side of `benchmarks/data.py`, as an expert user of the library would write it:
mapped by both cores, the mapped files opened by name, and every earlier shuffle read from its
cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_watch import BATCH, RECIPES, SEED, Watch, read_on

LIMIT, CORES = 256, 2


def _encode(batch: dict[str, list[str]], tokenizer: Any, limit: int) -> dict[str, list[Any]]:
    from mtray.data.templates import translation_prompt
    from mtray.data.tokenization import encode_examples

    if "es" in batch:
        texts = [
            (translation_prompt(a, "en", "es"), b)
            for a, b in zip(batch["en"], batch["es"], strict=True)
        ]
    else:
        texts = [("", text) for text in batch["text"]]
    kept = [(ids, at) for ids, at in encode_examples(tokenizer, texts) if len(ids) <= limit]
    return {"ids": [ids for ids, _ in kept], "loss_from": [at for _, at in kept]}


def datasets_first(folder: Path) -> dict[str, Any]:
    """Read and map both corpora."""
    from datasets import Features, Sequence, Value, concatenate_datasets, load_dataset

    from mtray.training.models import load_tokenizer

    def text(name: str) -> Any:
        return load_dataset("text", data_files=str(folder / name), split="train")

    features = Features({"ids": Sequence(Value("int32")), "loss_from": Value("int32")})
    arguments = {"tokenizer": load_tokenizer("embedded"), "limit": LIMIT}
    rows = 0
    with Watch() as watch:
        sides = [text(f"pairs.{side}").rename_column("text", side) for side in ("en", "es")]
        pairs = concatenate_datasets(sides, axis=1)
        for name, corpus in (("pairs", pairs), ("mono", text("mono.en"))):
            mapped = corpus.map(
                _encode, batched=True, batch_size=4096, remove_columns=corpus.column_names,
                fn_kwargs=arguments, features=features, num_proc=CORES,
                cache_file_name=str(folder / f"{name}.arrow"),
                # else it finds nothing again: a tokenizer's pickle changes with its use
                new_fingerprint=f"benchmark-{name}",
            )  # fmt: skip
            rows += len(mapped)
    return watch.result() | {"rows_per_second": rows / watch.seconds}


def _mapped(folder: Path) -> list[Any]:
    """Both corpora as `datasets_first` left them, without a look at the texts."""
    from datasets import Dataset, concatenate_datasets

    return [
        concatenate_datasets(
            [Dataset.from_file(str(file)) for file in sorted(folder.glob(f"{name}_0*.arrow"))]
        )
        for name in ("pairs", "mono")
    ]


def _mixed(folder: Path, number: int, interleave: bool) -> Any:
    from datasets import concatenate_datasets, interleave_datasets

    share, ratio = RECIPES[number]
    pairs, mono = _mapped(folder)
    size = int(len(pairs) * share)
    parts = [
        pairs.shuffle(seed=SEED).select(range(size)),
        mono.shuffle(seed=SEED).select(range(min(len(mono), int(size * min(ratio, 1 / share))))),
    ]
    if interleave:
        total = sum(map(len, parts))
        chances = [len(part) / total for part in parts]
        mixed = interleave_datasets(parts, probabilities=chances, seed=SEED + number)
    else:
        mixed = concatenate_datasets(parts)
    return mixed.shuffle(seed=SEED + number).with_format("numpy")


def _trials(folder: Path, interleave: bool) -> list[dict[str, Any]]:
    from mtray.training.examples import collate

    found = []

    def batch_of(mixed: Any, start: int) -> Any:
        batch = mixed[start : start + BATCH]
        return collate(list(zip(batch["ids"], batch["loss_from"], strict=True)), "cpu")

    for number in range(len(RECIPES)):
        with Watch() as watch:
            mixed = _mixed(folder, number, interleave)
            batch_of(mixed, 0)
        starts = range(BATCH, len(mixed), BATCH)
        speed = read_on(starts, lambda start, mixed=mixed: batch_of(mixed, start))
        found.append(watch.result() | {"examples": len(mixed), "examples_per_second": speed})
    return found


def interleaved_trials(folder: Path) -> list[dict[str, Any]]:
    """As the manual mixes corpora: drawn from one or the other at random until one has no more."""
    return _trials(folder, True)


def concatenated_trials(folder: Path) -> list[dict[str, Any]]:
    """The same mix by less work: one corpus behind the other, and shuffled."""
    return _trials(folder, False)
