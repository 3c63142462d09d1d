"""The base model as a trial begins with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mtray.evaluation.inference.requests import Output, Request
from mtray.lineage import lineage_of
from mtray.schema import Recipe, Study
from mtray.training.base_model import BaseModels


class LoadedModel(NamedTuple):
    """A base model at the start of a trial; `precision`: of its computation."""

    model: Any
    tokenizer: Any
    precision: str

    @property
    def notes(self) -> dict[str, str]:
        """For the record: why its attention is transformers' plain one, and the trial of ours that
        it comes from."""
        from mtray.training.attention import attention_note

        origin = lineage_of(getattr(self.model, "name_or_path", ""))
        found = {
            "attention": attention_note(self.model),
            "base_model": "" if origin is None else origin.text,
        }
        return {name: text for name, text in found.items() if text}


def load_base_model(
    study: Study, recipe: Recipe, seed: int, models: BaseModels | None = None
) -> LoadedModel:
    """Seeds torch, so that everything a trial draws afterwards depends on its own seed alone.
    Raises MtrayError."""
    import torch

    from mtray.training.engine import resolve_precision

    models = models or BaseModels()
    torch.manual_seed(seed)
    in_4_bits = bool(recipe.parallel_size) and recipe.method == "qlora"
    model = models.model(study.model, study.trust_remote_code, in_4_bits)
    tokenizer = models.tokenizer(study.model, study.trust_remote_code)
    precision = resolve_precision(study.training, next(model.parameters()).device.type)
    return LoadedModel(model, tokenizer, precision)


def answers_of(
    study: Study, loaded: LoadedModel, module: Any, requests: Sequence[Request]
) -> list[Output]:
    """The outputs of a model made from the loaded one, by this process alone and with the study's
    settings. Raises EvaluationError."""
    from mtray.evaluation.inference.batching import settings_of
    from mtray.evaluation.inference.engine import answer_part, joined
    from mtray.training.adapters import merged

    settings = settings_of(study.evaluation, module, loaded.tokenizer, loaded.precision)
    with merged(module):
        return joined(requests, [answer_part(settings, requests)])
