"""Similarity of a trial's fine-tuning text to its evaluation: DES
(`mtray.analysis.dataset_similarity`), the cosine of the mean embeddings of their instructions by a
sentence encoder such as LaBSE.

Every source and every part of the evaluation is embedded once for all trials; a mix's mean is that
of its sources' means, weighted by their numbers of examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mtray.analysis.dataset_similarity import embedding_similarity
from mtray.data.stratified_sample import sample_indices
from mtray.errors import ModelError
from mtray.schema import Mix

Array = npt.NDArray[np.float64]
Embed = Callable[[Sequence[str]], Array]
MOST = 256  # texts of a source or a part
BATCH, MOST_TOKENS = 32, 128


@dataclass(frozen=True)
class EmbeddingMeans:
    """Mean embeddings, shape (dimensions,), by source and by part of the evaluation."""

    sources: Mapping[str, Array]
    parts: Mapping[str, Array]

    def des(self, mix: Mix) -> dict[str, float]:
        """DES of a mix to every part of the evaluation."""
        shares = [(share.examples, self.sources[share.source]) for share in mix.shares]
        weights = [examples for examples, _ in shares]
        if not sum(weights):
            return {}
        mean = np.average([vector for _, vector in shares], axis=0, weights=weights)
        return {
            name: embedding_similarity(mean[None], part[None]) for name, part in self.parts.items()
        }


def mean_embeddings(
    embed: Embed, store: Mapping[str, Any], tokenizer: Any, parts: Mapping[str, Sequence[str]]
) -> EmbeddingMeans:
    """Mean embeddings of the instructions (the tokens before the loss; for plain text all) of
    each source's first examples, which are in random order, and of a sample of the prompts of
    each part."""

    def some(texts: Sequence[str]) -> list[str]:
        return [texts[i] for i in sample_indices(len(texts), MOST)]

    sources = {name: instructions(table, tokenizer) for name, table in store.items() if len(table)}
    return EmbeddingMeans(
        {name: embed(texts).mean(axis=0) for name, texts in sources.items()},
        {name: embed(some(texts)).mean(axis=0) for name, texts in parts.items()},
    )


def instructions(table: Any, tokenizer: Any) -> list[str]:
    found = []
    for row in range(min(MOST, len(table))):
        ids, loss_from = table.example(row)
        shown = ids[:loss_from] if loss_from > 1 else ids  # 1: plain text after a begin token
        found.append(tokenizer.decode(shown, skip_special_tokens=True))
    return found


def prompts_by_part(parts: Sequence[str], requests: Sequence[Any]) -> dict[str, list[str]]:
    """The prompts of a suite by its parts; for likelihoods without a prompt, the target text."""
    found: dict[str, list[str]] = {}
    for part, request in zip(parts, requests, strict=True):
        found.setdefault(part, []).append(request.prompt or request.target or "")
    return found


def load_encoder(name: str, trust_remote_code: bool = False) -> Embed:
    """A sentence encoder by folder or hub name: its pooled output if it has one, as LaBSE does,
    otherwise the mean over its tokens. Raises ModelError if it cannot be loaded."""
    import torch
    from transformers import AutoModel

    from mtray.compat.transformers import (
        auto_tokenizer,
        never_ask,
        readable_sentencepiece,
        whole_weights_only,
        without_progress_bars,
    )
    from mtray.model_folder import check_no_code
    from mtray.model_paths import on_one_line, resolve_model

    never_ask()
    without_progress_bars()
    readable_sentencepiece()
    try:
        path = resolve_model(name)
        check_no_code(path, trust_remote_code)
        with whole_weights_only():
            tokenizer = auto_tokenizer(path, trust_remote_code)
            model = AutoModel.from_pretrained(
                path,
                dtype=torch.float32,  # transformers 5 would take that of the files
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
            ).eval()
    except ModelError as error:
        raise ModelError(f"`evaluation.embedder`: {error}") from None
    except Exception as error:  # the loading library may raise anything
        raise ModelError(
            f"`evaluation.embedder` {name!r}: cannot be loaded: {on_one_line(error)}"
        ) from None

    def embed(texts: Sequence[str]) -> Array:
        rows = []
        for start in range(0, len(texts), BATCH):
            given = tokenizer(
                list(texts[start : start + BATCH]), padding=True, truncation=True,
                max_length=MOST_TOKENS, return_tensors="pt",
            )  # fmt: skip
            with torch.no_grad():
                out = model(**given)
            pooled = getattr(out, "pooler_output", None)
            if pooled is None:
                seen = given["attention_mask"][..., None]
                pooled = (out.last_hidden_state * seen).sum(1) / seen.sum(1)
            rows.append(pooled.double().numpy())
        return np.concatenate(rows)

    return embed
