"""How far training moved a model's distribution on the new task: KL(base || tuned), the forward
direction, on the study's quality prompts.

Shenfeld, Pari & Agrawal (arXiv 2509.04259, "RL's Razor") find that E_x[KL(base || tuned)] over the
new task's inputs x predicts the forgetting of a fine-tuned model, and changes of the weights do
not. By the chain rule the divergence of whole answers is the sum over their tokens of the
next-token divergences, given the prompt and the answer so far, for answers of the base model. These
are the base model's own answers as measured (greedy, or by beam search), and not samples from it:
every model of a run is compared on the same tokens, without sampling noise. The end of the answer
counts as a token. The recorded value is the mean over tokens, in nats, which does not depend on the
length of the answers.

In a large vocabulary the base model's most likely tokens are compared one by one and all others as
one. This can only reduce the divergence (data processing inequality).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mtray.data import encoder_decoder
from mtray.data.tokenization import Ids, encode_examples, prompt_ids_batch
from mtray.evaluation.abilities.base import spaced
from mtray.evaluation.inference.batching import EncodedRequest, Settings, by_length
from mtray.evaluation.inference.engine import answering
from mtray.evaluation.inference.model_calls import device_of
from mtray.evaluation.inference.requests import Output, Request
from mtray.runtime import LOGITS_AT_ONCE

if TYPE_CHECKING:
    import torch

    from mtray.evaluation.suite import Suite

WHOLE = 4096  # largest vocabulary that is compared token by token
LIKELIEST = 1024  # most likely tokens of a larger one, compared one by one


@dataclass(frozen=True)
class BaseDistributions:
    """The base model's next-token distributions along its own answers.

    - `batches`: rows that are computed together: (index, ids of prompt and answer, start of the
      answer).
    - `tokens`: for each row, in the order of the batches, the tokens compared one by one, shape
      (positions, `LIKELIEST`); None: all of the vocabulary.
    - `logs`: for each row their log-probabilities and, in the last column, that of all other tokens
      if there are any, shape (positions, tokens).
    """

    batches: tuple[tuple[EncodedRequest, ...], ...]
    tokens: tuple[torch.Tensor | None, ...]
    logs: tuple[torch.Tensor, ...]


def divergence_requests(suite: Suite, most: int) -> list[Request]:
    """`most` of the quality prompts (all if there are no more), evenly over all directions; the
    same ones for every model."""
    asked = [request for direction in suite.directions for request in direction.requests]
    return list(dict.fromkeys(asked[place] for place in spaced(len(asked), most)))


def base_distributions(
    settings: Settings, requests: Sequence[Request], answers: Sequence[Output]
) -> BaseDistributions:
    """The distributions of the model of `settings`, which has the base model's weights, along its
    answers."""
    batches = _batches(settings, _rows(settings.tokenizer, requests, answers))
    tokens: list[torch.Tensor | None] = []
    logs: list[torch.Tensor] = []
    with answering(settings):
        for batch in batches:
            for found in _next_tokens(settings.model, batch):
                chosen = None if found.shape[1] <= WHOLE else found.topk(LIKELIEST).indices
                logs.append(_compared(found, chosen).cpu())
                tokens.append(None if chosen is None else chosen.int().cpu())
    return BaseDistributions(batches, tuple(tokens), tuple(logs))


def forward_kl(settings: Settings, base: BaseDistributions) -> float:
    """KL(base || tuned) in nats per token: the mean over all tokens of the base model's answers;
    `settings` holds the tuned model. 0 for the base model itself; infinite or NaN if the tuned
    model's log-probabilities are."""
    total, count = 0.0, 0
    rows = iter(zip(base.tokens, base.logs, strict=True))
    with answering(settings):
        for batch in base.batches:
            for found in _next_tokens(settings.model, batch):
                tokens, before = next(rows)
                chosen = None if tokens is None else tokens.to(found.device).long()
                apart = kl(before.to(found.device), _compared(found, chosen))
                total, count = total + float(apart.sum()), count + len(apart)
    # rounding can make it slightly negative
    return 0.0 if total < 0 else total / count


def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p || q) of log-probabilities, shape (positions, tokens), in nats, shape (positions,)."""
    import torch

    # tokens of probability 0 under p add nothing, whatever q is
    return torch.where(p == -torch.inf, 0.0, p.exp() * (p - q)).sum(dim=1)


def _rows(
    tokenizer: Any, requests: Sequence[Request], answers: Sequence[Output]
) -> list[EncodedRequest]:
    """Index, ids and the prompt's length of each prompt with its answer, which may be empty. An
    answer that has more tokens when encoded again than was allowed is truncated: the model may not
    have room for them."""
    prompts = prompt_ids_batch(tokenizer, [request.prompt for request in requests])
    pairs = [(r.prompt, a.text) for r, a in zip(requests, answers, strict=True)]
    read = encode_examples(tokenizer, pairs, with_end=False)
    rows: list[EncodedRequest] = []
    for place, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        ids, start = read[place] if answer.text else (prompts[place], len(prompts[place]))
        rows.append((place, ids[: start + request.max_new_tokens], start))
    return rows


def _batches(
    settings: Settings, rows: Sequence[EncodedRequest]
) -> tuple[tuple[EncodedRequest, ...], ...]:
    at_once = max(1, LOGITS_AT_ONCE // int(settings.model.config.vocab_size))
    batches = by_length(rows, min(settings.max_tokens, at_once))
    return tuple(tuple(batch) for batch in batches)


def _next_tokens(model: Any, batch: Sequence[EncodedRequest]) -> Iterator[torch.Tensor]:
    """Next-token log-probabilities at each position of each row's answer and after it, shape
    (answer's tokens + 1, vocabulary). One row at a time: a copy of all would double the memory."""
    device = device_of(model)
    rows: list[tuple[Ids, int]] = [(ids, start) for _, ids, start in batch]
    if encoder_decoder.is_encoder_decoder(model):
        # the decoder reads all but the last token of a row, so a token is appended
        padded = [([*ids, 0], start) for ids, start in rows]
        logits = encoder_decoder.scores(model, encoder_decoder.pairs(model.config, padded, device))
        for row, (tokens, start) in enumerate(rows):
            yield logits[row, : len(tokens) - start + 1].double().log_softmax(dim=1)
        return
    ids, mask = encoder_decoder.right_padded([tokens for tokens, _ in rows], device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    for row, (tokens, start) in enumerate(rows):
        yield logits[row, start - 1 : len(tokens)].double().log_softmax(dim=1)


def _compared(logs: torch.Tensor, tokens: torch.Tensor | None) -> torch.Tensor:
    """The log-probabilities of these tokens and, last, of all others together."""
    import torch

    if tokens is None:
        return logs
    others = logs.scatter(1, tokens, -torch.inf).logsumexp(dim=1, keepdim=True)
    return torch.cat([logs.gather(1, tokens), others], dim=1)
