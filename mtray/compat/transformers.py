"""transformers: a model's attention implementation, the cache that it accepts, a warning of its
tokenizers, its question about remote code, and what it reads beside weights. Tested with 4.57.6."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

TOKENIZER_LOGGER = "transformers.tokenization_utils_base"
REGEX_WARNING = "incorrect regex pattern"
MODEL_LOGGER = "transformers.modeling_utils"
MARK = "_attn_was_changed"


def attention_of(config: Any) -> str:
    """The attention implementation of a model with this config, such as `sdpa`; empty if unknown.

    Private: `_attn_implementation`. `set_attn_implementation` is public, but has no counterpart
    that reads it. With an empty name the callers skip what they do for `sdpa` alone.
    """
    return str(getattr(config, "_attn_implementation", None) or "")


def set_attention(model: Any, name: str) -> bool:
    """`set_attn_implementation`, for all parts of a model however often it is called. False where
    the model's code has no other attention to choose (Falcon, StableLM). Raises what that raises
    for a name which the model does not support.

    Private: `_attn_was_changed`, a mark on the config of every part, which keeps a later call from
    changing that part. T5Gemma keeps it, and would save it with its config; other models lose it
    within the call. Without the mark nothing is done. And the logger's name, by which it warns of
    what is returned here; with another name the warning is shown.
    """
    logger = logging.getLogger(MODEL_LOGGER)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        model.set_attn_implementation(name)
    finally:
        logger.setLevel(before)
        for part in model.modules():
            if hasattr(config := getattr(part, "config", None), MARK):
                delattr(config, MARK)
    return attention_of(model.config) == name


def takes_plain_cache(model: Any) -> bool:
    """Whether a model's state during generation is keys and values in a `DynamicCache`; that of
    state-space models is not.

    Private: `_is_stateful` and `_supports_default_dynamic_cache`, by which `generate` decides.
    Without the second the first decides, and without both every model counts as accepting it.
    """
    plain = getattr(model, "_supports_default_dynamic_cache", None)
    return not getattr(model, "_is_stateful", False) and (plain is None or bool(plain()))


@contextmanager
def without_false_alarm(path: str) -> Iterator[None]:
    """transformers from 4.57.3 on warns that any large tokenizer of a folder which it wrote itself
    has Mistral's wrong pattern. In this context it warns only for Mistral models.

    Private: the logger's name and the warning's text. The public way, to load with
    `fix_mistral_regex`, would change Mistral's tokenizers, or mark them as correct. If the text
    differs, the warning is shown.
    """
    from transformers import PretrainedConfig

    model_type = PretrainedConfig.get_config_dict(path)[0].get("model_type", "")
    logger = logging.getLogger(TOKENIZER_LOGGER)

    def true(record: logging.LogRecord) -> bool:
        return REGEX_WARNING not in record.getMessage() or "tral" in model_type

    logger.addFilter(true)
    try:
        yield
    finally:
        logger.removeFilter(true)


def never_ask() -> None:
    """From now on code that comes with a model is refused where no caller has decided about it,
    as within other libraries. transformers would ask on standard input, which may hold a "y".

    Private: `TIME_OUT_REMOTE_CODE`, the seconds that it waits for an answer; with 0 it raises.
    Every call of ours passes `trust_remote_code`, so nothing asks without it either.
    """
    from transformers import dynamic_module_utils

    vars(dynamic_module_utils)["TIME_OUT_REMOTE_CODE"] = 0


@contextmanager
def whole_weights_only() -> Iterator[None]:
    """In this context an `adapter_config.json` beside whole weights is ignored. transformers would
    load the base model that it names instead of the weights.

    Private: the function that finds the file, in the two modules that call it. There is no public
    way; where the function has another name, the file is found as before.
    """
    from transformers import modeling_utils
    from transformers.models.auto import auto_factory

    name = "find_adapter_config_file"
    callers = [vars(module) for module in (modeling_utils, auto_factory) if name in vars(module)]
    before = [caller[name] for caller in callers]
    for caller in callers:
        caller[name] = lambda *_, **__: None
    try:
        yield
    finally:
        for caller, function in zip(callers, before, strict=True):
            caller[name] = function


def misplaced_settings(config: Any) -> dict[str, Any]:
    """Settings of generation that a model's config holds, as older ones do, apart from defaults.

    Private: `_get_non_default_generation_parameters`, by which `save_pretrained` moves them into
    the generation config. Without it none are found.
    """
    found: dict[str, Any] = getattr(config, "_get_non_default_generation_parameters", dict)()
    return found


def readable_sentencepiece() -> None:
    """Make folders with a SentencePiece model alone readable where protobuf is older than
    sentencepiece's description of its files (0.2.1 and later need protobuf 5.26): transformers
    converts them by that, and has the same description for older ones.

    Private: both modules' names. Where transformers' is missing, such folders cannot be read.
    """
    with suppress(ImportError):
        import sentencepiece

        try:
            from sentencepiece import sentencepiece_model_pb2  # noqa: F401
        except ImportError:
            own = import_module("transformers.utils.sentencepiece_model_pb2_new")
            sys.modules["sentencepiece.sentencepiece_model_pb2"] = own
            vars(sentencepiece)["sentencepiece_model_pb2"] = own
