"""transformers: a model's attention implementation, the cache that it accepts, a warning of its
tokenizers, its question about remote code, and what it reads beside weights. Tested with 4.57.6 and
5.24.0; where the two differ, the docstring says how."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

# of transformers 4 and 5
TOKENIZER_LOGGERS = (
    "transformers.tokenization_utils_base", "transformers.tokenization_utils_tokenizers",
)  # fmt: skip
REGEX_WARNING = "incorrect regex pattern"
MODEL_LOGGER = "transformers.modeling_utils"
MARK = "_attn_was_changed"
# the argument of `forward` that takes the cache: in newer releases (5.24), and in older (5.20)
CACHE_ARGUMENTS = ("cache", "past_key_values")
# classes of a tokenizer that is nothing but its tokenizer.json, in transformers 4 and 5
PLAIN_TOKENIZERS = ("PreTrainedTokenizerFast", "TokenizersBackend")
# what normalizers, pre-tokenizers, and decoders treat differently
PROBES = (
    "Hello, world!  Two  spaces\n\nand lines.\tTab ", "It's 12,345.67 o'clock; don't.",
    " Grüße, cafe\u0301 — “quotes” …", "Ви знаєте? 日本語のテキスト。한국어 नमस्ते ﬁ　ｗｉｄｅ 🙂",
)  # fmt: skip
# layers of a cache that hold keys and values alone, or, of layers that use another one's, nothing
PLAIN_LAYERS = ("DynamicLayer", "DynamicSlidingWindowLayer", "DummyLayer")


def attention_of(config: Any) -> str:
    """The attention implementation of a model with this config, such as `sdpa`; empty if unknown.

    Private: `_attn_implementation`. `set_attn_implementation` is public, but has no counterpart
    that reads it. With an empty name the callers skip what they do for `sdpa` alone.
    """
    return str(getattr(config, "_attn_implementation", None) or "")


def set_attention(model: Any, name: str) -> bool:
    """`set_attn_implementation`, for all parts of a model however often it is called. False where
    the model's code has no other attention to choose (Falcon; with 4, StableLM). Raises what that
    raises for a name which the model does not support.

    Private: `_attn_was_changed`, a mark on the config of every part, which keeps a later call from
    changing that part. With transformers 4 T5Gemma keeps it, and would save it with its config;
    other models lose it within the call, and 5 has no mark. Without it nothing is done. And the
    logger's name, by which it warns of what is returned here; with another name the warning is
    shown.
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


def cache_argument(model: Any) -> str:
    """The name of the argument of a model's `forward` that takes the cache; empty if it has none.

    transformers renamed it between 5.20 and 5.24, and 5.40 drops the old name. Code that comes with
    a model may have either with any version.
    """
    accepted = inspect.signature(model.forward).parameters
    return next((name for name in CACHE_ARGUMENTS if name in accepted), "")


def takes_plain_cache(model: Any) -> bool:
    """Whether a model's state during generation is keys and values in a `DynamicCache`; that of
    state-space models and of linear attention is not, in all layers or in some.

    Private: `_is_stateful` and `_supports_default_dynamic_cache`, by which `generate` decides, and
    the classes of a cache's layers: transformers 5 keeps all kinds of state in a `DynamicCache`.
    Without the second the others decide, and without any every model counts as accepting it.
    """
    plain = getattr(model, "_supports_default_dynamic_cache", None)
    if getattr(model, "_is_stateful", False) or (plain is not None and not plain()):
        return False
    return all(type(layer).__name__ in PLAIN_LAYERS for layer in _cache_layers(model))


def _cache_layers(model: Any) -> list[Any]:
    config = getattr(model, "config", None)
    if config is None:
        return []
    from transformers import DynamicCache

    return list(DynamicCache(config=config.get_text_config(decoder=True)).layers)


def auto_tokenizer(path: str, trust_remote_code: bool) -> Any:
    """The tokenizer of a folder or hub name, which splits text as its tokenizer.json says, if there
    is one. Raises what transformers raises.

    transformers 5 builds the tokenizers of many classes anew from the vocabulary in that file and
    drops its normalizer, pre-tokenizer, and decoder; and for some types of models it takes such a
    class although the folder names the plain one. Where the result differs from the file, or cannot
    be built, the file is read as it is, as transformers 4 does.

    Private: `get_tokenizer_config` and `cached_file`, which find both files as transformers does.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.models.auto.tokenization_auto import get_tokenizer_config
    from transformers.utils import cached_file

    def chosen() -> Any:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)

    config = get_tokenizer_config(path)
    file = cached_file(path, "tokenizer.json", _raise_exceptions_for_missing_entries=False)
    if PreTrainedTokenizerFast.__name__ == PLAIN_TOKENIZERS[0] or "auto_map" in config or not file:
        return chosen()
    plain = PreTrainedTokenizerFast.from_pretrained(path, trust_remote_code=trust_remote_code)
    if config.get("tokenizer_class") in PLAIN_TOKENIZERS:
        return plain
    try:
        if _splits(found := chosen()) == _splits(plain):
            return found
    except Exception:  # of a class that cannot be built from this vocabulary
        return plain
    return _with_tokens_of(found, plain)


def _splits(tokenizer: Any) -> list[tuple[list[int], str]]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:  # that of another library
        return []
    ids = [backend.encode(text, add_special_tokens=False).ids for text in PROBES]
    return [(found, backend.decode(found)) for found in ids]


def _with_tokens_of(other: Any, plain: Any) -> Any:
    """The plain tokenizer with the special tokens that the other one has by its class alone."""
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        token = getattr(other, name, None)
        if getattr(plain, name) is None and token in plain.get_vocab():
            setattr(plain, name, token)
    return plain


@contextmanager
def without_false_alarm(path: str) -> Iterator[None]:
    """transformers from 4.57.3 on warns that any large tokenizer of a folder which it wrote itself
    has Mistral's wrong pattern. In this context it warns only for Mistral models.

    Private: the loggers' names and the warning's text. The public way, to load with
    `fix_mistral_regex`, would change Mistral's tokenizers, or mark them as correct. If the text
    differs, the warning is shown.
    """
    from transformers import PretrainedConfig

    model_type = PretrainedConfig.get_config_dict(path)[0].get("model_type", "")
    loggers = [logging.getLogger(name) for name in TOKENIZER_LOGGERS]

    def true(record: logging.LogRecord) -> bool:
        return REGEX_WARNING not in record.getMessage() or "tral" in model_type

    for logger in loggers:
        logger.addFilter(true)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(true)


def never_ask() -> None:
    """From now on code that comes with a model is refused where no caller has decided about it,
    as within other libraries. transformers would ask on standard input, which may hold a "y".

    Private: `TIME_OUT_REMOTE_CODE`, the seconds that it waits for an answer; with 0 it raises.
    Every call of ours passes `trust_remote_code`, so nothing asks without it either.
    """
    from transformers import dynamic_module_utils

    vars(dynamic_module_utils)["TIME_OUT_REMOTE_CODE"] = 0


def without_progress_bars() -> None:
    """From now on no bar is drawn for the weights of a model that is read or written, as
    transformers 5 does for each; those of downloads stay.

    Public, but new in transformers 5: `set_tqdm_hook`. transformers 4 draws one only where the
    weights are in several files.
    """
    from transformers.utils import logging as own

    if hasattr(own, "set_tqdm_hook"):
        own.set_tqdm_hook(lambda bar, args, options: bar(*args, **options | {"disable": True}))


def checkpoint_activations(model: Any, reentrant: bool) -> None:
    """Gradient checkpointing, by the name that the version has for it: transformers 5 warns of the
    older one, which 6 drops."""
    options = {"use_reentrant": reentrant}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(options)
    else:
        model.gradient_checkpointing_enable(options)


@contextmanager
def whole_weights_only() -> Iterator[None]:
    """In this context an `adapter_config.json` beside whole weights is ignored. transformers would
    load the base model that it names instead of the weights.

    Private: the function that finds the file, in the modules that call it: the last of these with
    transformers 5, the one before with 4. There is no public way; where the function has another
    name, the file is found as before.
    """
    from transformers import modeling_utils
    from transformers.integrations import peft
    from transformers.models.auto import auto_factory

    name = "find_adapter_config_file"
    modules = (auto_factory, modeling_utils, peft)
    callers = [vars(module) for module in modules if name in vars(module)]
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

    Private: `_get_non_default_generation_parameters`, by which `save_pretrained` of transformers 4
    moves them into the generation config, and `_get_generation_parameters`, for which that of
    transformers 5 raises. Without them none are found.
    """
    names = ("_get_non_default_generation_parameters", "_get_generation_parameters")
    settings = next((getattr(config, name) for name in names if hasattr(config, name)), dict)
    found: dict[str, Any] = settings()
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
