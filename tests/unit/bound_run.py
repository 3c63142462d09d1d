"""A run whose data can be built within a second: a tiny model, real files, two sources of which
some rows have texts of the dev or of the test segments."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from records_factory import make_record
from tiny_models import byte_level, llama

from mtray.cli import main
from mtray.commands import export_model, held_out_test, rerun
from mtray.data.store import mixed
from mtray.preparation import prepare
from mtray.report.records import write_record
from mtray.schema import Mix, Recipe, Study, TrialRecord
from mtray.search.ledger.run_folder import bind, check_bound
from mtray.search_space.parameters import FloatRange, IntRange
from mtray.search_space.space import Space
from mtray.trial.job import Job, Outcome

WORDS = ["bad", "cab", "dad", "fed", "bee", "abba", "beef", "ebb", "add", "ace", "fade", "dab"]
SPACE = Space(
    parameters={
        "parallel_size": IntRange(type="int", low=4, high=32),
        "few_shot_share": FloatRange(type="float", low=0, high=0.5),
    },
    fixed={"mono_ratio": 4.0},
)
FIRST = 1_024  # examples that are looked at


def sentences(count: int, seed: int) -> list[str]:
    """Different ones, of five words."""
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(rng.sample(WORDS, k=5))] = None
    return list(found)


def write_files(folder: Path) -> None:
    """`pairs.tsv` has 3 rows of `dev.tsv` and 5 of `test.tsv`; `mono.txt` 2 lines of each."""
    english, other = sentences(260, 1), sentences(260, 2)
    lines = [f"{a}\t{b}" for a, b in zip(english, other, strict=True)]
    head = "en\tuk"

    def table(name: str, rows: list[str]) -> None:
        (folder / name).write_text("\n".join([head, *rows]) + "\n")

    table("pairs.tsv", lines[:200])
    table("dev.tsv", [*lines[10:13], *lines[200:220]])
    table("test.tsv", [*lines[50:55], *lines[220:240]])
    mono = [*sentences(150, 3), english[201], english[202], english[221], english[222]]
    (folder / "mono.txt").write_text("\n".join(mono) + "\n")


def save_model(folder: Path) -> str:
    tokenizer = byte_level()
    model = llama(tokenizer)
    # room for the token that `change_tokenizer` adds
    model.resize_token_embeddings(len(tokenizer) + 1, mean_resizing=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def study_in(folder: Path, model: str, tested: bool = False, **changes: Any) -> Study:
    """With test segments where it is `tested`."""
    test = {"path": str(folder / "test.tsv")} if tested else {}
    evaluation = {
        "comet": "embedded",
        "quality": [{"direction": "en-uk", "path": str(folder / "dev.tsv"), "size": 4,
                     "test": test}],
        "abilities": {"kept": {"measure": "translation", "direction": "en-uk", "size": 4,
                               "path": str(folder / "dev.tsv"), "test": test}},
    }  # fmt: skip
    sources = [
        {"name": "pairs", "kind": "parallel", "path": str(folder / "pairs.tsv"),
         "languages": ["en", "uk"]},
        {"name": "mono", "kind": "mono", "path": str(folder / "mono.txt"), "languages": ["en"]},
    ]  # fmt: skip
    fields = {
        "name": "tiny", "model": model, "sources": sources, "evaluation": evaluation,
        "filters": {"leakage": "drop"}, "training": {"max_length": 200},
    }  # fmt: skip
    return Study.model_validate(fields | changes)


@dataclass(frozen=True)
class Drawn:
    """A mix, and the token ids of its first examples."""

    mix: Mix
    ids: list[list[int]]


def drawn(study: Study, store: Any, job: Job) -> Drawn:
    examples, mix = mixed(study, store, job.recipe, job.draw)
    shares = tuple(share.model_copy(update={"store": ""}) for share in mix.shares)
    return Drawn(Mix(shares=shares), [ids.tolist() for ids, _ in examples[:FIRST]])


def start(run_dir: Path, study: Study, job: Job) -> Drawn:
    """Begin or continue the run with this study, as the main job does, up to what a trial draws."""
    run_dir.mkdir(parents=True, exist_ok=True)
    bound = check_bound(run_dir, study, SPACE)
    prepared = prepare(study, SPACE, sources=bound.sources_study)
    bind(run_dir, study, SPACE)
    return drawn(study, prepared.store, job)


def record(run_dir: Path, job: Job, mix: Mix, **changes: Any) -> TrialRecord:
    """What the trial leaves, beside the base model."""
    write_record(run_dir, make_record(-1, 0.5, 1.0, "base"))
    found = make_record(
        job.number, 0.7, 0.9, recipe=job.recipe, seed=job.seed, replicate=job.replicate, of=job.of,
        mix=mix,
    )  # fmt: skip
    found = found.model_copy(update=changes)
    write_record(run_dir, found)
    return found


def without_training(monkeypatch: Any) -> dict[int, tuple[Any, Any, Job]]:
    """`rerun`, `export --model` and `test` without the training: what they hand to it, by trial."""
    handed: dict[int, tuple[Any, Any, Job]] = {}

    def train(job: Job, study: Any, store: Any, requests: Any, *_: Any, **__: Any) -> Outcome:
        handed[job.number] = (study, store, job)
        mix = drawn(study, store, job).mix if store else Mix()
        return Outcome([], mix, None, {"training": 1.0}, {})

    def scored(job: Job, study: Any, suite: Any, outcome: Any, base: Any) -> Any:
        found = make_record(job.number, recipe=job.recipe, seed=job.seed, mix=outcome.mix)
        changes = {"seconds": outcome.seconds, "replicate": job.replicate, "of": job.of}
        return found.model_copy(update=changes), {}

    for module in (rerun, export_model, held_out_test):
        monkeypatch.setattr(module, "train", train)
    for module in (rerun, held_out_test):
        monkeypatch.setattr(module, "read_outputs", lambda *_: None)
        monkeypatch.setattr(module, "write_outputs", lambda *_: None)
        monkeypatch.setattr(module, "record_trial", scored)
    monkeypatch.setattr(held_out_test, "write_draws", lambda *_: None)
    monkeypatch.setattr(
        held_out_test, "in_separate_process", lambda function, *arguments: function(*arguments)
    )
    return handed


def again(command: str, run_dir: Path, folder: Path) -> int:
    """Exit code of a command that trains trial 0 of the run again."""
    more = {
        "rerun": ["rerun", run_dir, "0"],
        "export": ["export", run_dir, "--model", "0", folder / "exported"],
        "test": ["test", run_dir],
    }
    return main(list(map(str, more[command])))


REPEATS = {"max_length": 200, "allow_repeats": True}
PLAIN = Job(0, "parallel_only", Recipe(parallel_size=24, mono_ratio=1.0), 1)
JOBS = {
    "plain": (PLAIN, {}),
    "replicate": (replace(PLAIN, seed=3, replicate=2, of=5), {}),
    "few_shot": (replace(PLAIN, recipe=Recipe(parallel_size=24, few_shot_share=0.5)), {}),
    "tokens": (PLAIN, {"mixing": {"count": "tokens"}, "training": REPEATS}),
    "repeats": (
        replace(PLAIN, recipe=Recipe(parallel_size=24, mono_ratio=20)),
        {"training": REPEATS},
    ),
}
