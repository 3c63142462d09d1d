"""How far training moved a model's distribution on the new task: KL(base || tuned), the forward
direction, on the study's quality prompts.

Shenfeld, Pari & Agrawal (arXiv 2509.04259, "RL's Razor") find that the forgetting of a fine-tuned
model is predicted by E_x[KL(base || tuned)] over the new task's inputs x, where changes of the
weights do not predict it. By the chain rule the divergence of whole answers is the sum over their
tokens of the divergences of the next token, given the prompt and the answer so far, where answers
are the base model's. Here these are the base model's own answers as it was measured (greedy, or by
beams), and not samples from it: every model of a run is compared on the same tokens, without
drawing noise. The end of the answer counts as a token. What is recorded is the mean over tokens, in
nats, which does not depend on how long the answers are.

Of a large vocabulary the base model's likeliest tokens are compared one by one and all others as
one, which can only make the divergence smaller (data processing inequality)."""

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

WHOLE = 4096  # a vocabulary of at most so many tokens is compared token by token
LIKELIEST = 1024  # tokens of a larger one that are


@dataclass(frozen=True)
class BaseDistributions:
    """The base model's next-token distributions along its own answers.

    - `batches`: rows that are computed together: (place, ids of prompt and answer, where the answer
      begins).
    - `tokens`: for each row, in the order of the batches, the tokens compared one by one, shape
      (positions, `LIKELIEST`); None: all of the vocabulary.
    - `logs`: for each row their log-probabilities and last, where there are others, the others',
      shape (positions, tokens).
    """

    batches: tuple[tuple[EncodedRequest, ...], ...]
    tokens: tuple[torch.Tensor | None, ...]
    logs: tuple[torch.Tensor, ...]


def divergence_requests(suite: Suite, most: int) -> list[Request]:
    """`most` of the quality prompts (all where there are no more), evenly over all directions; the
    same ones for every model."""
    asked = [request for direction in suite.directions for request in direction.requests]
    return list(dict.fromkeys(asked[place] for place in spaced(len(asked), most)))


def base_distributions(
    settings: Settings, requests: Sequence[Request], answers: Sequence[Output]
) -> BaseDistributions:
    """Of the model of `settings`, which has the base model's weights, along its answers."""
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
    """KL(base || tuned) in nats per token: the mean over all tokens of the base model's answers,
    where `settings` holds the tuned model. 0 for the base model itself; infinite or NaN where the
    tuned model's numbers are."""
    total, count = 0.0, 0
    rows = iter(zip(base.tokens, base.logs, strict=True))
    with answering(settings):
        for batch in base.batches:
            for found in _next_tokens(settings.model, batch):
                tokens, before = next(rows)
                chosen = None if tokens is None else tokens.to(found.device).long()
                apart = kl(before.to(found.device), _compared(found, chosen))
                total, count = total + float(apart.sum()), count + len(apart)
    # rounding can leave a little less than nothing
    return 0.0 if total < 0 else total / count


def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p || q) of log-probabilities, shape (positions, tokens), in nats, shape (positions,)."""
    import torch

    # what p never says adds nothing, whatever q says of it
    return torch.where(p == -torch.inf, 0.0, p.exp() * (p - q)).sum(dim=1)


def _rows(
    tokenizer: Any, requests: Sequence[Request], answers: Sequence[Output]
) -> list[EncodedRequest]:
    """Place, ids and the prompt's length of each prompt with its answer, which may be empty. An
    answer that takes more tokens when it is read than it was allowed is cut: the model may have no
    room for them."""
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
    """Log-probabilities of what may come at each place of each row's answer and after it, shape
    (answer's tokens + 1, vocabulary). A row at a time: a copy of all would double the memory."""
    device = device_of(model)
    rows: list[tuple[Ids, int]] = [(ids, start) for _, ids, start in batch]
    if encoder_decoder.is_encoder_decoder(model):
        # the decoder reads a row but for its last token, so that a token is put behind it
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
