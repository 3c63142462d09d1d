"""Hashes of what a token store is made from: the content of files, and tokenizers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from unicodedata import unidata_version

from mtray.data.readers.folders import data_files, entries_below
from mtray.files import file_hash
from mtray.runtime import code_hash, version_of


def with_hashes(node: Any, key: str = "") -> Any:
    """Every file that a source names, by `path` or `..._path`, replaced by the hash of its
    content."""
    if node and (key == "path" or key.endswith("_path")):
        if isinstance(node, dict):
            return {role: content_hash(Path(path)) for role, path in node.items()}
        return content_hash(Path(node))
    if isinstance(node, dict):
        return {k: with_hashes(v, str(k)) for k, v in node.items()}
    return node


def content_hash(path: Path) -> str:
    """Hash of a file, with the suffixes of its name, which can determine its format; of the files
    of a data set's folder, with their names; of a member of an archive, the archive's hash with the
    member's name. Anything else (a name on a hub) is returned unchanged. DataError for a folder
    that is no data set."""
    if path.is_file():
        found = path.stat()
        return "".join(path.suffixes) + " " + _file_hash(path, found.st_size, found.st_mtime_ns)
    if not path.exists() and (archive := next((p for p in path.parents if p.is_file()), None)):
        return f"{path.relative_to(archive)} in {content_hash(archive)}"
    if path.is_dir():
        files = data_files(path)
        inside = "\n".join(f"{p.relative_to(path)} {content_hash(p)}" for p in files)
        return hashlib.sha256(inside.encode()).hexdigest()
    return str(path)


@lru_cache(maxsize=256)
def _file_hash(path: Path, size: int, modified: int) -> str:
    return file_hash(path)


def tokenizer_hash(tokenizer: Any) -> str:
    """Hash of everything in a tokenizer that its ids depend on."""
    import tempfile

    specials = (
        type(tokenizer).__name__,
        tokenizer.bos_token_id,
        tokenizer.eos_token_id,
        getattr(tokenizer, "chat_template", None),
        getattr(tokenizer, "add_bos_token", None),
        getattr(tokenizer, "add_eos_token", None),
    )
    digest = hashlib.sha256(repr(specials).encode())
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_padding()  # the padding of the last call must not change the hash
        backend.no_truncation()
        digest.update(backend.to_str().encode())
    else:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            for file in sorted(entries_below(Path(folder))):
                digest.update(f"{file.relative_to(folder)} {file_hash(file)}".encode())
    return digest.hexdigest()


def differences(code: str, versions: Mapping[str, str | None]) -> str:
    """How this process differs from the code and the versions that a store depends on, in words;
    empty if it does not."""
    if code_hash(Path(__file__).parent) != code:
        return "has other code of mtray"
    found = {name: version_of(name) for name in versions} | {"unicode": unidata_version}
    other = [
        f"{name} {found[name]} (here {version})"
        for name, version in versions.items()
        if found[name] != version
    ]
    return f"has {', '.join(other)}" if other else ""
