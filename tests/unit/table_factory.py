"""A small study whose trials are made up, for the tests of the recipe table, whose modules lie in
`benchmarks`."""

import json
import sys
from pathlib import Path

import numpy as np
from tiny_models import byte_level

from mtray.evaluation.inference.requests import Output
from mtray.evaluation.suite import build_suite
from mtray.preparation import PreparedSweep
from mtray.schema import Mix, SourceShare, Study, TrainingRecord
from mtray.search_space.space import Space
from mtray.training.loop import RungPosition
from mtray.trial.job import Outcome

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

SEGMENTS = 40
SPACE = {
    "parallel_size": {"type": "int", "low": 128, "high": 4096, "log": True},
    "learning_rate": {"type": "float", "low": 0.0001, "high": 0.002, "log": True},
}


class LengthComet:
    """0.01 for every character of the hypothesis."""

    signature = "length"

    def scores(self, sources, hypotheses, references):
        return np.array([len(h) / 100 for h in hypotheses])


def prepared(folder: Path) -> PreparedSweep:
    """One direction and two abilities, `spanish` and `modelling`."""
    rows = [
        {"en": f"a bad cab {i}", "es": f"un mal taxi {i}", "uk": f"таксі {i}"}
        for i in range(SEGMENTS)
    ]
    pairs, mono = folder / "pairs.jsonl", folder / "mono.jsonl"
    pairs.write_text("\n".join(map(json.dumps, rows)))
    mono.write_text("\n".join(json.dumps({"text": row["en"]}) for row in rows))
    spanish = {"measure": "translation", "path": str(pairs), "direction": "en-es"}
    modelling = {"measure": "perplexity", "path": str(mono), "language": "en"}
    study = Study.model_validate({
        "name": "small",
        "sources": [{"name": "p", "kind": "parallel", "path": "x", "languages": ["en", "uk"]}],
        "evaluation": {
            "comet": "tabulated", "bootstrap": 100,
            "quality": [{"direction": "en-uk", "path": str(pairs), "size": SEGMENTS}],
            "abilities": {
                "spanish": {**spanish, "size": SEGMENTS},
                "modelling": {**modelling, "size": SEGMENTS},
            },
        },
    })  # fmt: skip
    space = Space.model_validate({"parameters": SPACE})
    return PreparedSweep(study, space, {"p": range(10_000)}, build_suite(study, byte_level()))


def answers(job, requests, of=1.0):
    """The longer the more pairs were trained on and the larger the seed, and the less likely."""
    more = of * (job.recipe.parallel_size // 100 + job.seed)
    out = []
    for place, request in enumerate(requests):
        if request.target is None:
            out.append(Output("a" * int(5 + more + place % 7), -1.0, 3))
        else:
            out.append(Output(request.target, -1.0 - 0.01 * more - 0.05 * (place % 5), 3))
    return out


def run_trial(job, study, store, requests, how, worker):
    """In place of `mtray.trial.run.run_trial`: four steps, measured after the first and the
    second."""
    worker.progress({"state": "loading"})
    training = None
    if job.recipe.parallel_size:
        for rung, step in enumerate((1, 2)):
            worker.progress({"state": "training"})
            worker.progress({"state": f"measuring at rung {rung + 1}"})
            outputs = answers(job, how.rungs.requests, of=step / 4)
            assert how.rungs.ask(RungPosition(rung, step, 4), outputs, 0.5) is False
        worker.progress({"state": "training"})
        training = TrainingRecord(
            steps=4, tokens=800, tokens_per_second=80.0, trainable_parameters=10,
            total_parameters=20, accumulated_learning_rate=0.5, precision="fp32",
            loss=((2, 3.0), (4, 2.5)), mean_difference=0.25,
        )  # fmt: skip
    worker.progress({"state": "evaluating"})
    share = SourceShare(
        source="p", kind="parallel", requested=100.0, realised=100, available=10_000, tokens=800,
        repeats=0.01,
    )  # fmt: skip
    seconds = {"load": 1.0, "training": 10.0, "rungs": 1.0, "generation": 5.0}
    mix = Mix(shares=(share,) if job.recipe.parallel_size else ())
    return Outcome(answers(job, requests), mix, training, seconds, {"mtray": "0"})
