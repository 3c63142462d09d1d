"""The README.md of an exported model: what it is, how it was trained, and its scores."""

from __future__ import annotations

from collections.abc import Sequence

from mtray.lineage import lineage_of, study_hash
from mtray.report.abilities import ability_sentences, ability_sets
from mtray.report.omissions import omissions
from mtray.report.parameters import parameter_text, parameters
from mtray.report.tables import score_text
from mtray.schema import Study, Training, TrialRecord, training_of


def model_card(
    record: TrialRecord,
    study: Study,
    run: str,
    kind: str,
    agreed: str,
    usage: Sequence[str] = (),
) -> str:
    """Markdown with the metadata header of the Hugging Face hub. `kind`: model or adapter;
    `agreed`: how its outputs compare with the trial's; `usage`: lines on how to ask it."""
    library = "peft" if kind == "adapter" else "transformers"
    origin = lineage_of(study.model)
    first = study.model if origin is None else origin.first
    head = ["---", f"base_model: {first}", f"library_name: {library}",
            "tags: [translation, mtray]", "---", ""]  # fmt: skip
    what = "an adapter, to be loaded on the base model" if library == "peft" else "the whole model"
    licences = {source.name: source.licence for source in study.sources}
    lines = [
        f"# {study.model} after trial {record.number} of the study {study.name}",
        "",
        f"Fine-tuned by mtray in run `{run}`: seed {record.seed}, study `{study_hash(study)}`. "
        f"This is {what}.",
        *([] if origin is None else [f"It was trained on from {origin.text}."]),
        *([agreed] if agreed else []),
        "",
        *usage,
        "## Training",
        "",
        *_table(
            ("parameter", "value"),
            [
                (f"`{name}`", parameter_text(value))
                for name, value in parameters(record.recipe).items()
                if value is not None
            ],
        ),
        *_settings(training_of(record.recipe, study.training)),
        "## Scores",
        "",
        *_table(
            ("score", "value and 95 % interval", "measured with"),
            [
                (f"`{name}`", score_text(score), f"`{score.signature}`")
                for name, score in {**record.objectives, **record.scores}.items()
            ],
        ),
        *_paragraph(ability_sentences(ability_sets([record]))),
        *_paragraph(omissions([record])),
        *_table(
            ("source", "examples", "licence"),
            [
                (share.source, f"{share.examples:,}", licences.get(share.source) or "not given")
                for share in record.mix.shares
            ],
        ),
        f"Versions: {', '.join(f'{n} {v}' for n, v in record.versions.items())}.",
    ]
    return "\n".join([*head, *lines, ""])


def _settings(training: Training) -> list[str]:
    """What every trial of the study was trained with, the recipe's own values included."""
    return [training_sentence(training), ""]


def training_sentence(training: Training) -> str:
    """The settings of a training in words."""
    batch = (
        f"{training.batch_examples:,} examples"
        if training.batch_tokens is None
        else f"at most {training.batch_tokens:,} tokens"
    )
    steps = "" if training.max_steps is None else f", at most {training.max_steps:,} steps"
    return (
        f"Epochs {training.epochs:g}{steps}; batches of {batch}; AdamW with weight decay "
        f"{training.weight_decay:g}; {training.schedule} schedule after a warm-up over "
        f"{training.warmup:.0%} of the steps; gradients clipped at "
        f"{training.gradient_clipping:g}; examples of at most {training.max_length:,} tokens."
    )


def _paragraph(sentences: Sequence[str]) -> list[str]:
    return [" ".join(sentences), ""] if sentences else []


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    shown = [head, tuple("---" for _ in head), *rows]
    return [*(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in row)} |" for row in shown), ""]
