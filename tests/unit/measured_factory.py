"""Trials whose outputs were scored by the whole suite, with a tabulated COMET in the place of a
model: what a study makes of the same outputs, recorded and with draws."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tiny_models import byte_level

from mtray.evaluation.inference.requests import Output
from mtray.evaluation.metrics import comet
from mtray.evaluation.output_files import write_outputs
from mtray.evaluation.suite import build_suite
from mtray.report.bootstrap_draws import write_draws
from mtray.report.records import write_record
from mtray.run_files import OUTPUTS_FILE, trial_dir
from mtray.schema import Mix, Recipe, Study, TrialRecord
from mtray.trial.job import Job, Outcome
from mtray.trial.record import record_trial

SEGMENTS = 40
LANGUAGES = ("en", "es", "de", "uk")


class LengthComet:
    """0.01 for every character of the hypothesis."""

    signature = "length"

    def scores(self, sources: Any, hypotheses: Any, references: Any) -> Any:
        return np.array([len(h) / 100 for h in hypotheses])


def tabulate_comet(monkeypatch: Any) -> None:
    monkeypatch.setattr(comet, "loader", lambda *settings: lambda name: LengthComet())


def write_sets(folder: Path) -> None:
    """`LANGUAGE.jsonl`: pairs with English whose texts are in no other file; `mono.jsonl`."""
    for language in LANGUAGES[1:]:
        rows = [
            {"en": f"a {language} cab {i}", language: f"ein {language} {i} taxi"}
            for i in range(SEGMENTS)
        ]
        (folder / f"{language}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    rows = [{"text": f"a lone cab {i}"} for i in range(SEGMENTS)]
    (folder / "mono.jsonl").write_text("\n".join(map(json.dumps, rows)))


def abilities_in(folder: Path) -> dict[str, dict[str, Any]]:
    """Three of them, of weights 1, 1 and 3."""
    pairs = {"measure": "translation", "size": SEGMENTS}
    return {
        "spanish": {**pairs, "path": str(folder / "es.jsonl"), "direction": "en-es"},
        "german": {**pairs, "path": str(folder / "de.jsonl"), "direction": "en-de"},
        "modelling": {
            "measure": "perplexity",
            "path": str(folder / "mono.jsonl"),
            "language": "en",
            "weight": 3,
            "size": SEGMENTS,
        },
    }


def study_in(folder: Path, abilities: dict[str, Any] | None = None, **changes: Any) -> Study:
    quality = [{"direction": "en-uk", "path": str(folder / "uk.jsonl"), "size": SEGMENTS}]
    evaluation = {
        "comet": "tabulated",
        "quality": quality,
        "bootstrap": 200,
        "abilities": abilities_in(folder) if abilities is None else abilities,
    }
    source = {"name": "p", "kind": "parallel", "path": str(folder / "uk.jsonl"),
              "languages": ["en", "uk"]}  # fmt: skip
    fields = {
        "name": "made-up",
        "sources": [source],
        "evaluation": evaluation,
        "filters": {"leakage": None, "shots_leakage": None},
    }
    return Study.model_validate(fields | changes)


@dataclass(frozen=True)
class Answers:
    """What a model answers: a hypothesis for all quality segments, the reference for a share of
    each ability's segments and the source for the others, bits a character."""

    hypothesis: str
    shares: dict[str, float]
    bits: float

    def outputs(self, suite: Any) -> list[Output]:
        found = [
            Output(f"{self.hypothesis}{'!' * (i % 4)}", -1.0, 3)
            for i, _ in enumerate(suite.directions[0].requests)
        ]
        for ability in suite.abilities:
            if ability.name not in self.shares:
                found += [_likely(r.target, self.bits, i) for i, r in enumerate(ability.requests)]
                continue
            last = self.shares[ability.name] * SEGMENTS
            pairs = zip(ability.sources, ability.references, strict=True)
            found += [Output(b if i < last else a, -1.0, 3) for i, (a, b) in enumerate(pairs)]
        return found


def _likely(target: str, bits: float, place: int) -> Output:
    nats = -bits * math.log(2) * len(target)
    return Output(target, nats * (1 + 0.01 * (place % 3 - 1)), 5)


BASE = Answers("taxi", {"spanish": 1.0, "german": 0.8}, 0.1)
TUNED = {
    0: Answers("taxi und mehr", {"spanish": 0.5, "german": 0.6}, 0.4),
    1: Answers("taxi und", {"spanish": 0.9, "german": 0.7}, 0.2),
}


def measure_run(run_dir: Path, study: Study, draws: bool = True) -> list[TrialRecord]:
    """The base model and two trials as `study` scores them, written into the run's folder."""
    suite = build_suite(study, byte_level())
    before = BASE.outputs(suite)
    records = []
    for number, answers in {-1: BASE, **TUNED}.items():
        outputs = answers.outputs(suite)
        role = "base" if number < 0 else "search"
        recipe = Recipe(parallel_size=0 if number < 0 else 300 + number, learning_rate=1e-3)
        job = Job(number, role, recipe, study.seed)
        outcome = Outcome(outputs, Mix(), None, {"training": 1.0 + number}, {})
        record, found = record_trial(job, study, suite, outcome, None if number < 0 else before)
        record = record.model_copy(update={"seconds": {"total": 1.0}, "finished": ""})
        if draws:
            write_draws(run_dir, number, found)
        file = trial_dir(run_dir, number) / OUTPUTS_FILE
        write_outputs(file, suite.parts, suite.requests, outputs)
        write_record(run_dir, record)
        records.append(record)
    return records
