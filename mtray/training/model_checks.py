"""Whether a model fits its study and its tokenizer, from its files and its config alone; and what
of it is not used as its authors meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtray.data.chat import chat_form, end_of_turn_ids
from mtray.data.tokenization import own_prefix_ids, prompt_ids_batch
from mtray.data.translation_prompts import CHATS
from mtray.data.variant_tables import is_draws
from mtray.errors import ConfigError, ModelError
from mtray.model_folder import check_no_code, generation_settings, left_over_adapter
from mtray.model_paths import resolve_model
from mtray.schema import Study
from mtray.training.generation_settings import TOKENS
from mtray.training.models import empty_model, load_config, load_tokenizer

# parts of a config beside a text model's own
WRAPPED = ("text_config", "vision_config", "audio_config")
# modules with an embedding for each position: GPT-2; OPT, BART and Marian; BERT; others
POSITION_TABLES = ("wpe", "embed_positions", "position_embeddings", "pos_emb")
# keys of a generation config that no answer depends on; transformers 5 writes most of these always
BOOKKEEPING = (
    "transformers_version", "_from_model_config", "use_cache", "output_attentions",
    "output_hidden_states", "output_scores", "return_dict_in_generate",
)  # fmt: skip


def check_model_fits(study: Study) -> list[str]:
    """Notes on what of the model is not used. Raises ModelError for one that cannot be trained,
    ConfigError for a study that it does not fit. Takes seconds."""
    from mtray.training.attention import attention_note
    from mtray.training.packing import packing_note  # imports torch

    path = resolve_model(study.model)
    check_no_code(path, study.trust_remote_code)
    model = empty_model(study.model, study.trust_remote_code)
    _check_text_only(study.model, model)
    _check_positions(study, model)
    tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    rows = embedding_rows(model.config)
    notes = _tokens_outside(study.model, tokenizer, rows)
    if left_over_adapter(path):
        notes.append(
            "the model's folder has an adapter_config.json without an adapter, which is ignored: "
            "the whole weights are used"
        )
    own = [k for k in generation_settings(path) if k not in (*TOKENS, *BOOKKEEPING)]
    if own:
        notes.append(
            f"the model's generation_config.json ({', '.join(sorted(own))}) does not affect "
            "evaluation; exported models have it as it is"
        )
    if why := attention_note(model):
        notes.append(f"the model's attention is {why}; its micro-batches are not packed")
    elif padded := packing_note(model, study.training):
        notes.append(padded)
    return notes + (_template_notes(tokenizer) if study.template in CHATS else [])


def _check_text_only(name: str, model: Any) -> None:
    parts = [part for part in WRAPPED if getattr(model.config, part, None) is not None]
    if parts:
        raise ModelError(
            f"model {name!r}: {type(model).__name__} is more than a text model (its config has "
            f"{', '.join(parts)}), and only text models are trained; give a text-only model of its "
            'family, or save its text part alone (docs/howto/own-data.md, "The text part of a '
            'multimodal model")'
        )


def position_limit(model: Any) -> int | None:
    """The number of positions of a model that looks them up in a table; None for others."""
    from torch import nn

    sizes = [
        module.num_embeddings
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in POSITION_TABLES
    ]
    if not sizes:
        return None
    # a table may have rows that no position has: OPT's has two
    return int(getattr(model.config, "max_position_embeddings", None) or min(sizes))


def _check_positions(study: Study, model: Any) -> None:
    limit = position_limit(model)
    if limit is not None and study.training.max_length > limit:
        raise ConfigError(
            f"training.max_length is {study.training.max_length}, and {study.model} has positions "
            f"for {limit} tokens only; set `training: {{max_length: {limit}}}` or less"
        )


def embedding_rows(config: Any) -> int:
    """The number of tokens that a model has an embedding of."""
    return int(config.get_text_config().vocab_size)


def outside(tokenizer: Any, rows: int) -> dict[str, int]:
    """The tokens without an embedding, by id."""
    found = {token: i for token, i in tokenizer.get_vocab().items() if i >= rows}
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def _tokens_outside(name: str, tokenizer: Any, rows: int) -> list[str]:
    """A note on special tokens without an embedding. ModelError where text needs such tokens."""
    found = outside(tokenizer, rows)
    if not found:
        return []
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    needed = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}
    needed |= {*end_of_turn_ids(tokenizer), *own_prefix_ids(tokenizer)}
    used = [token for token, i in found.items() if i not in special or i in needed]
    if used:
        raise ModelError(
            f"model {name!r}: {len(used)} tokens of its tokenizer have no embedding, such as "
            f"{used[0]!r} (id {found[used[0]]}; there are {rows} embeddings); give the tokenizer "
            "that the model was trained with, or enlarge the embeddings "
            "(`model.resize_token_embeddings(len(tokenizer))`, then `save_pretrained`)"
        )
    shown = ", ".join(f"{token} (id {i})" for token, i in list(found.items())[:3])
    return [
        f"{len(found)} special tokens of the tokenizer have no embedding and are never looked up: "
        f"{shown}; there are {rows} embeddings"
    ]


def check_looked_up(
    study: Study, tokenizer: Any, store: Mapping[str, Any], prompts: Sequence[str]
) -> None:
    """ModelError where a text of the sources or of the evaluation spells a token that has no
    embedding. Quick where all have one."""
    rows = embedding_rows(load_config(study.model, study.trust_remote_code))
    if not outside(tokenizer, rows):
        return
    sides: dict[str, Sequence[Any]] = {"the evaluation": prompt_ids_batch(tokenizer, prompts)}
    sides |= {
        f"source {name!r}": _examples(table) for name, table in store.items() if not is_draws(name)
    }
    for where, examples in sides.items():
        for ids in examples:
            if (most := max(map(int, ids), default=0)) >= rows:
                token = tokenizer.convert_ids_to_tokens(most)
                raise ModelError(
                    f"model {study.model!r}: {where} has a text with {token!r}, a token that "
                    "the model has no embedding of; leave that text out, or write the token "
                    "in another way"
                )


def _examples(table: Any) -> Sequence[Any]:
    return [table.example(row)[0] for row in range(len(table))]


def _template_notes(tokenizer: Any) -> list[str]:
    form = chat_form(tokenizer)
    if form is None:
        return []
    notes = []
    if form.thought:
        notes.append(f"the model's chat template asks for thoughts: {form.thought}")
    begin = tokenizer.decode(own_prefix_ids(tokenizer))
    if begin and not form.head.startswith(begin):
        notes.append(
            f"the tokenizer puts {begin} before texts and its chat template does not, so chat "
            "prompts are without it"
        )
    return notes
