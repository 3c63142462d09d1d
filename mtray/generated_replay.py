"""Replay that the base model makes itself: generated once, before any trial, and kept.

`gr` (generative replay): the model's own answers to the source's prompts, greedy. `self`: prompts
and answers are both the model's. Where the study chats, a prompt is what the model writes as the
user's turn when it is given nothing but the template's beginning (Xu et al. 2024, Magpie), and is
then answered as in `gr`. Without a chat, it is a text from the begin token on; its first word is
the prompt, for want of another, so that the loss is on nearly everything.

Answers that were cut off are left out: nothing may be learned from where they end. Of texts without
a chat the last whole sentence is the end."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mtray.data.chat import chat_form
from mtray.data.mixing import plan
from mtray.data.replay_files import Pair, StoredReplay, as_given, prompts_of
from mtray.data.token_files import file_hash
from mtray.data.tokenization import prefix_ids
from mtray.data.translation_prompts import CHATS, PromptBuilder
from mtray.errors import ConfigError, DataError
from mtray.evaluation.inference.batching import Settings
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.nucleus_sampling import SampledText, Sampling, sample
from mtray.evaluation.inference.requests import Progress, Request
from mtray.schema import Generation, Recipe, Source, Study

Say = Callable[[str], None]
SENTENCE_END = re.compile(r"[.!?。！？][\"'”’»)\]]*(?=\s)|\n")
LINES = 10  # told of a generation's progress


class GeneratedReplay(NamedTuple):
    """Examples, and how many of what there are."""

    pairs: list[Pair]
    counts: dict[str, int]


def with_replay(study: Study, say: Say = lambda _: None, force: bool = False) -> Study:
    """The study with generated examples where sources want them; the model is loaded only when some
    are not there yet. `force`: they are made anew. Raises MtrayError."""
    if all(source.replay == "er" for source in study.sources):
        return study
    from mtray.training.models import load_tokenizer

    tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    settings = cache(lambda: _settings(study, tokenizer))
    sources = [
        source if source.replay == "er" else _given(source, study, tokenizer, settings, say, force)
        for source in study.sources
    ]
    return study.model_copy(update={"sources": tuple(sources)})


def check_generated(study: Study, largest: Iterable[Recipe]) -> None:
    """ConfigError where one of the largest recipes of a space asks for more examples than a source
    is to generate; told before they are, which can take long."""
    if study.training.allow_repeats or study.mixing.count == "tokens":
        return
    by_name = {source.name: source for source in study.sources if source.replay != "er"}
    for part in (part for recipe in largest for part in plan(recipe, study.sources)):
        source = by_name.get(part.source)
        if source and part.count > source.generation.examples:
            raise ConfigError(
                f"source {source.name!r}: `generation.examples` is {source.generation.examples:,} "
                f"and the largest recipe asks for {part.count:,}; raise it, lower the search range "
                "or set `training: {allow_repeats: true}`"
            )


def _given(
    source: Source,
    study: Study,
    tokenizer: Any,
    settings: Callable[[], Settings],
    say: Say,
    force: bool,
) -> Source:
    asking = PromptBuilder(study.template, tokenizer)
    prompts = prompts_of(source) if source.replay == "gr" else []
    kept = StoredReplay(inputs_of(source, study, prompts))
    with kept.alone():
        known = None if force else kept.manifest()
        if known is None:
            told = _tell(say, f"replay of {source.name}")
            if source.replay == "gr":
                made = answered(settings(), asking, prompts, source.generation, told)
            else:
                made = made_up(settings(), asking, source, told)
            if not made.pairs:
                raise DataError(
                    f"source {source.name!r}: `replay: {source.replay}` made no whole example "
                    f"({_counts(made.counts)}); raise `generation: {{max_new_tokens: ...}}`"
                )
            kept.keep(made.pairs, {"counts": made.counts})
        manifest = known or kept.manifest() or {}
    how = "kept" if known else "generated"
    say(f"replay of {source.name}: {how}, {_counts(manifest['counts'])} ({kept.path})")
    return as_given(source, kept)


def inputs_of(source: Source, study: Study, prompts: Sequence[str]) -> dict[str, Any]:
    """What generated examples depend on."""
    return {
        "replay": source.replay,
        "source": source.name,
        "model": model_identity(study.model),
        "chat": study.template in CHATS,
        "generation": source.generation.model_dump(),
        "prompts": hashlib.sha256("\0".join(prompts).encode("utf-8", "replace")).hexdigest(),
    }


def model_identity(name: str) -> str:
    """The hash of a model's files; of a hub's model its name and commit."""
    from huggingface_hub import try_to_load_from_cache

    from mtray.model_paths import resolve_model

    folder = Path(resolve_model(name))
    if not folder.is_dir():
        config = try_to_load_from_cache(name, "config.json")
        return f"{name}@{Path(config).parent.name}" if isinstance(config, str) else name
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    hashes = "\n".join(f"{p.name} {file_hash(p)}" for p in files)
    return hashlib.sha256(hashes.encode()).hexdigest()


def answered(
    settings: Settings,
    asking: PromptBuilder,
    prompts: Sequence[str],
    generation: Generation,
    progress: Progress | None = None,
) -> GeneratedReplay:
    """Every prompt with the model's own answer, greedy, of as many lines as it likes."""
    requests = [
        Request(asking.anything(prompt), None, generation.max_new_tokens, one_line=False)
        for prompt in prompts
    ]
    outputs = run_requests(
        settings.model, settings.tokenizer, requests, max_tokens_per_batch=settings.max_tokens,
        autocast=settings.autocast, progress=progress,
    )  # fmt: skip
    pairs = [
        (p, o.text) for p, o in zip(prompts, outputs, strict=True) if o.text and not o.truncated
    ]
    cut = sum(o.truncated for o in outputs)
    empty = len(outputs) - cut - len(pairs)
    return GeneratedReplay(pairs, {"examples": len(pairs), "cut_off": cut, "empty": empty})


def made_up(
    settings: Settings, asking: PromptBuilder, source: Source, progress: Progress | None = None
) -> GeneratedReplay:
    """Prompts and answers of the model's own."""
    generation, tokenizer = source.generation, settings.tokenizer
    chat = chat_form(tokenizer) if asking.template in CHATS else None
    # a space before the user's text is that text's own token, and the model's to write
    start = _ids(tokenizer, chat.head.rstrip(" ")) if chat else []
    start = start or prefix_ids(tokenizer) or [tokenizer.eos_token_id]
    seed = int.from_bytes(hashlib.sha256(source.name.encode()).digest()[:8], "big")
    sampling = Sampling(generation.max_new_tokens, generation.temperature, generation.top_p, seed)
    texts = sample(settings, start, generation.examples, sampling, progress)
    if not chat:
        return _split(texts)
    whole = [s.text for s in texts if s.ended and s.text]
    prompts = list(dict.fromkeys(whole))
    pairs, counts = answered(settings, asking, prompts, generation, progress)
    counts |= {
        "prompts": len(texts),
        "prompts_cut_off": sum(not s.ended for s in texts),
        "prompts_twice": len(whole) - len(prompts),
    }
    return GeneratedReplay(pairs, counts)


def _split(texts: Sequence[SampledText]) -> GeneratedReplay:
    """Texts as pairs: joined by one space they are the texts again."""
    whole = [s.text if s.ended else whole_sentences(s.text) for s in texts]
    split = [text.partition(" ") for text in dict.fromkeys(whole)]
    pairs = [(first, rest) for first, _, rest in split if first.strip() and rest.strip()]
    counts = {"examples": len(pairs), "texts": len(texts)}
    return GeneratedReplay(pairs, counts | {"cut_back": sum(not s.ended for s in texts)})


def whole_sentences(text: str) -> str:
    """The text up to the end of its last sentence or line that something comes after."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return text[: ends[-1]].strip() if ends else ""


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _settings(study: Study, tokenizer: Any) -> Settings:
    import torch

    from mtray.training.engine import resolve_precision
    from mtray.training.models import load_model

    model = load_model(study.model, study.trust_remote_code)
    precision = resolve_precision(study.training, next(model.parameters()).device.type)
    autocast = torch.bfloat16 if precision == "bf16" else None
    return Settings(model, tokenizer, study.evaluation.batch_tokens, autocast=autocast)


def _tell(say: Say, what: str) -> Progress:
    last = [-1]

    def progress(done: int, total: int) -> None:
        if (part := done * LINES // max(1, total)) != last[0]:
            last[0] = part
            say(f"{what}: {done:,} of {total:,} generated")

    return progress


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
