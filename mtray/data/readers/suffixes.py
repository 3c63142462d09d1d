"""Suffixes of files that contain rows."""

from __future__ import annotations

TABLE_SUFFIXES = {
    ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".tsv": "tsv",
    ".csv": "csv", ".tmx": "tmx", ".sgm": "sgm", ".sgml": "sgm", ".xml": "xml",
}  # fmt: skip
