"""Load models and tokenizers: `embedded`, a folder, or a hub name. Safetensors only; no code that
comes with a model runs unless the study says `trust_remote_code: true`, and nothing ever asks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mtray.compat.transformers import (
    auto_tokenizer,
    never_ask,
    readable_sentencepiece,
    whole_weights_only,
    without_false_alarm,
    without_progress_bars,
)
from mtray.errors import ModelError
from mtray.model_folder import check_no_code
from mtray.model_paths import on_one_line, resolve_model
from mtray.training.generation_settings import set_aside


def load_tokenizer(name: str, trust_remote_code: bool = False) -> Any:
    path = resolve_model(name)
    tempfile.gettempdir()  # raises if there is no room in any, which is not the tokenizer's fault
    never_ask()
    readable_sentencepiece()
    try:
        with without_false_alarm(path):
            return auto_tokenizer(path, trust_remote_code)
    # a damaged file can raise any exception of the library that reads it
    except Exception as error:
        raise ModelError(
            f"model {name!r}: its tokenizer cannot be loaded: {on_one_line(error)}"
        ) from None


def load_model(name: str, trust_remote_code: bool = False, in_4_bits: bool = False) -> Any:
    """The language model, causal or encoder-decoder, in fp32, on the GPU where there is one, else
    on the CPU; `in_4_bits` needs a GPU (QLoRA). Its attention gives the scores of transformers'
    plain one."""
    import torch

    from mtray.training.attention import compare_with_eager, honour_settings

    path = resolve_model(name)
    check_no_code(path, trust_remote_code)
    config = load_config(name, trust_remote_code)
    without_progress_bars()
    options: dict[str, Any] = {"dtype": torch.float32}
    if in_4_bits:
        options = _few_bits()
    try:
        with whole_weights_only():
            model, found = class_for(config).from_pretrained(
                path,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                **options,
            )
    except Exception as error:
        raise ModelError(f"model {name!r}: cannot be loaded: {on_one_line(error)}") from None
    if found["missing_keys"]:
        # transformers only warns, and leaves them randomly initialised
        missing = ", ".join(sorted(found["missing_keys"])[:3])
        count = len(found["missing_keys"])
        raise ModelError(
            f"model {name!r}: cannot be loaded: its files lack {count} weights ({missing}, ...)"
        )
    set_aside(model)
    honour_settings(model)
    if torch.cuda.is_available() and not in_4_bits:
        model = model.to("cuda")
    compare_with_eager(model)
    return model


def _few_bits() -> dict[str, Any]:
    """Quantization as in QLoRA: 4-bit NormalFloat, double quantization, computation in bf16
    (Dettmers et al. 2023, 2305.14314)."""
    import torch
    from transformers import BitsAndBytesConfig

    from mtray.training.quantization import check_qlora

    check_qlora(torch.cuda.device_count())
    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {
        "quantization_config": quantised,
        "dtype": torch.bfloat16,
        "device_map": {"": torch.cuda.current_device()},
    }


def stored_weights(name: str) -> AbstractContextManager[Callable[[str], Any]]:
    """A look-up of single tensors in a model's files, by their names in the whole model, on the
    CPU; None for a name that does not exist. The model is not loaded."""
    path = resolve_model(name)
    if not Path(path).is_dir():
        from huggingface_hub import snapshot_download

        path = snapshot_download(path, allow_patterns=["*.safetensors"])
    return _opened(Path(path))


@contextmanager
def _opened(folder: Path) -> Iterator[Callable[[str], Any]]:
    from safetensors import safe_open

    with ExitStack() as stack:
        files = [
            stack.enter_context(safe_open(file, framework="pt"))
            for file in sorted(folder.glob("*.safetensors"))
        ]
        where = {key: file for file in files for key in file.keys()}  # noqa: SIM118 (no mapping)

        def look_up(name: str) -> Any:
            # a base model's files lack the prefix that the class with a head adds to every name
            found = next((n for n in (name, name.partition(".")[2]) if n in where), None)
            return where[found].get_tensor(found) if found else None

        yield look_up


def load_config(name: str, trust_remote_code: bool = False) -> Any:
    """A model's config. Raises ModelError."""
    path = resolve_model(name)
    from transformers import AutoConfig  # after the checks that need no slow import

    never_ask()
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise ModelError(
            f"model {name!r}: its config cannot be read: {on_one_line(error)}"
        ) from None


def block_count(name: str, trust_remote_code: bool = False) -> int:
    """Number of transformer blocks of a model, from its config alone."""
    config = load_config(name, trust_remote_code)
    if config.is_encoder_decoder:
        names = (("encoder_layers", "num_layers"), ("decoder_layers", "num_decoder_layers"))
        return sum(
            next((getattr(config, n) for n in pair if hasattr(config, n)), 0) for pair in names
        )
    return int(
        getattr(config, "num_hidden_layers", 0)
        or getattr(config.get_text_config(), "num_hidden_layers", 0)
    )


def empty_model(name: str, trust_remote_code: bool = False) -> Any:
    """A model without weights (shapes only), from its config alone. Raises ModelError."""
    config = load_config(name, trust_remote_code)
    import torch

    from mtray.training.attention import honour_settings

    try:
        with torch.device("meta"):
            model = class_for(config).from_config(config, trust_remote_code=trust_remote_code)
        model.tie_weights()
    except Exception as error:
        raise ModelError(f"model {name!r}: cannot be made: {on_one_line(error)}") from None
    honour_settings(model)
    return model


def class_for(config: Any) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
