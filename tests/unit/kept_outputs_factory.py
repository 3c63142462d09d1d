"""A run whose trials have kept their outputs: two directions, one request of an ability."""

from __future__ import annotations

import json
from pathlib import Path

from records_factory import make_failed, make_record, make_study

from mtray.evaluation.directions import build_direction
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.output_files import write_outputs
from mtray.report.records import write_record
from mtray.run_files import trial_dir
from mtray.schema import AbilitySpec, Evaluation, QualitySet, Study
from mtray.search.ledger.run_folder import bind, load_bound
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space

SPACE = Space(parameters={"mono_ratio": FloatRange(type="float", low=0, high=2)})
RESAMPLES, SEED = 200, 1
REFERENCES = {
    "en-uk": [f"кіт номер {i} сидить на килимі {i % 7}" for i in range(30)],
    "uk-en": [f"cat number {i} sits on the mat {i % 7}" for i in range(30)],
}


def answers(direction, dropped):
    """References, of every third one as many words less as `dropped`."""
    texts = [r.split() for r in REFERENCES[direction]]
    kept = [t[: len(t) - dropped * (i % 3 == 0)] for i, t in enumerate(texts)]
    return [Output(" ".join(t), -1.0, 3) for t in kept]


def study_of_sets(tmp_path: Path) -> Study:
    """A study whose two directions have their file in this folder."""
    (tmp_path / "en-uk.jsonl").write_text(
        "\n".join(json.dumps({"uk": u, "en": e}) for u, e in zip(*REFERENCES.values(), strict=True))
    )
    path = str(tmp_path / "en-uk.jsonl")
    sets = tuple(QualitySet(direction=d, path=path, size=30) for d in REFERENCES)
    abilities = {"a": AbilitySpec(measure="choice", path="a.jsonl")}
    evaluation = Evaluation(
        comet="embedded", quality=sets, abilities=abilities, bootstrap=RESAMPLES
    )
    return make_study(evaluation=evaluation, seed=SEED)


def write_answers(folder: Path, number: int, dropped: int) -> None:
    """The outputs of a trial of a bound run whose study is `study_of_sets`."""
    study, _ = load_bound(folder)
    directions = [build_direction(q, study.template, 64) for q in study.evaluation.quality]
    requests = [r for d in directions for r in d.requests] + [Request("other", None, 8)]
    parts = [f"quality.{d.name}" for d in directions for _ in d.requests] + ["a"]
    found = [o for d in REFERENCES for o in answers(d, dropped)] + [Output("x", -1.0, 1)]
    write_outputs(trial_dir(folder, number) / "outputs.parquet", parts, requests, found)


def make_run(tmp_path: Path, base_dropped: int = 3) -> Path:
    """The base model, whose answers lack so many words, trials 2 and 3, one that failed and one
    without outputs."""
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    bind(folder, study_of_sets(tmp_path), SPACE)
    for number, dropped in {-1: base_dropped, 2: 1, 3: 0}.items():
        write_record(folder, make_record(number, role="base" if number < 0 else "search"))
        write_answers(folder, number, dropped)
    write_record(folder, make_record(4))
    write_record(folder, make_failed(5))
    return folder
