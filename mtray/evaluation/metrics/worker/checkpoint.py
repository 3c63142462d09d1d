"""Finds a COMET checkpoint by its name and loads it with comet. Needs the standard library alone
until something is loaded."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import pickle
import re
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

from .hparams import read_hparams

ALLOWED = (
    "allowed are `embedded`, a checkpoint file or a folder that holds checkpoints/*.ckpt beside "
    "hparams.yaml, and a hub name such as Unbabel/wmt22-comet-da"
)
REACH_SECONDS = 5.0
TOKENIZER_FILES = ("tokenizer.json", "sentencepiece.bpe.model", "vocab.txt")
_CHATTY = ("pytorch_lightning", "lightning_fabric", "lightning_utilities", "comet", "transformers")


class Unloadable(Exception):
    """A model cannot be loaded; a ModelError on the main side."""


def silence() -> None:
    """No tips, warnings and progress of Lightning and comet; errors are still written."""
    warnings.simplefilter("ignore")
    import comet  # noqa: F401  # first, since Lightning sets its loggers' levels on import

    logging.getLogger().setLevel(logging.ERROR)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)


def is_hub_name(name: str) -> bool:
    return bool(re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name)) and Path(name).suffix != ".ckpt"


def find_checkpoint(path: Path) -> Path:
    """The checkpoint itself or the one in a folder; hparams.yaml must lie two folders above it."""
    files = [path] if path.is_file() else sorted(path.glob("checkpoints/*.ckpt"))
    if len(files) != 1:
        names = ", ".join(f.name for f in files) or "none"
        raise Unloadable(
            f"comet: {path} must hold one checkpoints/*.ckpt, found {names}; {ALLOWED}"
        )
    if not (files[0].parents[1] / "hparams.yaml").is_file():
        raise Unloadable(
            f"comet: {files[0]} is not a COMET checkpoint: {files[0].parents[1]} has no "
            f"hparams.yaml; {ALLOWED}"
        )
    return files[0]


def download(name: str) -> Path:
    """Checkpoint of a hub name, from the hub's cache or by comet's `download_model`."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(name, local_files_only=True)) / "checkpoints" / "model.ckpt"
    except HFValidationError as error:
        raise Unloadable(f"comet: {name!r} is not a hub name: {error}; {ALLOWED}") from error
    except LocalEntryNotFoundError:
        cached = Path()
    if cached.is_file():
        return cached
    require_hub(f"comet: {name!r} is not in the hub's cache")
    silence()
    from comet import download_model

    try:
        return find_checkpoint(Path(download_model(name)))
    except KeyError as error:
        cause: BaseException = error  # raised for any failure; the first cause is specific
        while cause.__context__:
            cause = cause.__context__
        raise Unloadable(f"comet: {name!r} cannot be downloaded: {cause}; {ALLOWED}") from error


def require_hub(why: str) -> None:
    """Raise Unloadable within `REACH_SECONDS` if the hub cannot be reached; comet itself would
    wait."""
    import requests
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise Unloadable(f"{why}, and HF_HUB_OFFLINE forbids asking the hub; {ALLOWED}")
    try:
        requests.head(constants.ENDPOINT, timeout=REACH_SECONDS)
    except requests.RequestException as error:
        raise Unloadable(f"{why}, and {constants.ENDPOINT} cannot be reached; {ALLOWED}") from error


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_checkpoint(checkpoint: Path) -> Any:
    """`comet.load_from_checkpoint`, querying the hub for an encoder's config only if necessary.

    A `pretrained_model` that starts with "." is relative to its hparams.yaml.
    """
    encoder = encoder_of(checkpoint)
    local = encoder.startswith(".") or is_local(encoder)
    if not local:
        require_hub(f"comet: {checkpoint} needs the config and tokenizer of {encoder!r}")
    never_ask()  # comet's own calls of `from_pretrained` do not say
    silence()
    with contextlib.ExitStack() as stack:
        from comet import load_from_checkpoint

        moved = encoder.startswith(".")
        placed = beside_encoder(checkpoint, stack) if moved else checkpoint
        try:
            model = load_from_checkpoint(str(placed), moved, local_files_only=local)
        except pickle.UnpicklingError as error:
            reason = str(error).splitlines()[0]
            raise Unloadable(
                f"comet: {checkpoint} is not a checkpoint that torch can read with weights_only: "
                f"{reason} (if you trust the file: TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1)"
            ) from error
        except Exception as error:  # comet may raise anything for a file of another kind
            raise Unloadable(f"comet: {checkpoint} cannot be loaded: {error!r}") from error
    require_all_weights(model, checkpoint)
    return model


def never_ask() -> None:
    """Code that comes with a model is refused. transformers would ask on standard input.

    Private: `TIME_OUT_REMOTE_CODE`, the seconds that it waits for an answer; with 0 it raises.
    """
    from transformers import dynamic_module_utils

    vars(dynamic_module_utils)["TIME_OUT_REMOTE_CODE"] = 0


def encoder_of(checkpoint: Path) -> str:
    """`pretrained_model` in hparams.yaml: a hub name or a folder."""
    file = checkpoint.parents[1] / "hparams.yaml"
    try:
        found = read_hparams(file)["pretrained_model"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unloadable(
            f"comet: {file} is not of a COMET model: no `pretrained_model` ({error})"
        ) from error
    if not isinstance(found, str):
        raise Unloadable(f"comet: {file} is not of a COMET model: `pretrained_model` is no text")
    return found


def is_local(encoder: str) -> bool:
    """Whether the encoder is a folder, or its config and tokenizer are in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    def cached(file: str) -> bool:
        return isinstance(try_to_load_from_cache(encoder, file), str)

    if Path(encoder).is_dir():
        return True
    return cached("config.json") and any(map(cached, TOKENIZER_FILES))


def require_all_weights(model: Any, checkpoint: Path) -> None:
    """comet loads with strict=False: a weight missing from the file would stay random, with a
    warning."""
    import torch

    # memory-mapped, not read: a large checkpoint is in memory already
    saved = torch.load(
        checkpoint, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(checkpoint)
    )
    lacking = sorted({name for name, _ in model.named_parameters()} - set(saved["state_dict"]))
    if lacking:
        raise Unloadable(
            f"comet: {checkpoint} lacks {len(lacking)} of the model's weights, such as {lacking[0]}"
        )


def beside_encoder(checkpoint: Path, stack: contextlib.ExitStack) -> Path:
    """The checkpoint, as a link in a temporary folder with hparams.yaml made absolute.

    comet resolves a relative `pretrained_model` in the current directory, which may be any. With
    its `reload_hparams`, this hparams.yaml replaces the checkpoint's.
    """
    import yaml

    folder = checkpoint.parents[1]
    hparams = read_hparams(folder / "hparams.yaml")
    hparams["pretrained_model"] = str((folder / hparams["pretrained_model"]).resolve())
    view = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mtray-comet-")))
    (view / "checkpoints").mkdir()
    (view / "hparams.yaml").write_text(yaml.safe_dump(hparams))
    link = view / "checkpoints" / checkpoint.name
    link.symlink_to(checkpoint)
    return link
