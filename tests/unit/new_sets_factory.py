"""An earlier run whose tabulated models have stored their answers, and studies that measure
something else. A model's answers are a function of its trial and the request, so what a trial of
the new study would have measured is known."""

import json

from records_factory import make_record, make_study
from tiny_models import byte_level

from mtray.evaluation.inference.requests import Output
from mtray.evaluation.output_files import write_outputs
from mtray.evaluation.suite import build_suite
from mtray.report.bootstrap_draws import write_draws
from mtray.report.records import write_record
from mtray.run_files import BASE_NUMBER, OUTPUTS_FILE, trial_dir, weights_file
from mtray.schema import Evaluation, Mix, Recipe, Source
from mtray.search.ledger.run_folder import BoundStudy, bind
from mtray.search_space.parameters import FloatRange, IntRange
from mtray.search_space.space import Space
from mtray.trial.job import Job, Outcome
from mtray.trial.record import record_trial

ROWS = 40
SPACE = Space(
    parameters={
        "parallel_size": IntRange(type="int", low=1, high=9000),
        "learning_rate": FloatRange(type="float", low=1e-4, high=1e-2, log=True),
    },
    fixed={"mono_ratio": 0.0, "replay_fraction": 0.0},
)
# number: words that its model drops of every third answer
TRIALS = {0: 0, 1: 1, 2: 2, 3: 1}
SEEDS = {3: 2}  # trial 3 repeats trial 1
OBJECTIVES = {"chrf.en-uk": "max", "retention": "max"}
SOURCE = Source(name="p", kind="parallel", path="p.tsv", languages=("en", "uk"))
TOKENIZER = byte_level()


def write_sets(folder):
    """Two parallel files of which `more` has other segments, and monolingual text."""
    for name, begin in (("pairs", 0), ("more", 500)):
        rows = [
            {"en": f"a bad cab {i}", "es": f"un mal taxi {i} va", "uk": f"погане таксі {i} їде"}
            for i in range(begin, begin + ROWS)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))


def evaluation(folder, **changes):
    """One direction and two abilities, on the first 30 rows; without COMET."""
    pairs = str(folder / "pairs.jsonl")
    fields = {
        "comet": "none",
        "metrics": ["chrf"],
        "bootstrap": 100,
        "quality": [{"direction": "en-uk", "path": pairs, "size": 30}],
        "abilities": {
            "spanish": {
                "measure": "translation", "path": pairs, "direction": "en-es", "size": 30,
            },
            "english": {
                "measure": "perplexity", "path": pairs, "language": "en", "size": 30,
                "columns": {"text": "en"},
            },
        },
    }  # fmt: skip
    return Evaluation.model_validate(fields | changes)


def study_of(folder, objectives=OBJECTIVES, **changes):
    return make_study(
        name="measured", sources=(SOURCE,), evaluation=evaluation(folder, **changes),
        objectives=dict(objectives),
    )  # fmt: skip


def answer(request, dropped):
    """A text of which every third is shorter, or a likelihood that falls with it."""
    if request.target is not None:
        nats = -len(request.target) * 0.2 * (1 + dropped + 0.01 * (len(request.prompt) % 3))
        return Output(request.target, nats, 5)
    words = f"погане таксі {request.prompt.split()[4]} їде un mal".split()
    cut = dropped * (sum(map(ord, request.prompt)) % 3 == 0)
    return Output(" ".join(words[: len(words) - cut]), -1.0 - cut, len(words))


def answers(requests, number):
    return [answer(request, 0 if number < 0 else 1 + TRIALS[number]) for request in requests]


def recipe_of(number):
    sizes = {3: 1}
    return Recipe(parallel_size=100 * (sizes.get(number, number) + 1), learning_rate=1e-3)


def job_of(number):
    if number == BASE_NUMBER:
        return Job(number, "base", Recipe(parallel_size=0), 1)
    repeat = {"replicate": 1, "of": 1} if number in SEEDS else {}
    return Job(number, "search", recipe_of(number), SEEDS.get(number, 1), **repeat)


def measure(run_dir, study, number):
    """The record, with answers and draws, as a trial under this study writes them."""
    suite = build_suite(study, TOKENIZER)
    base = None if number < 0 else answers(suite.requests, BASE_NUMBER)
    found = answers(suite.requests, number)
    mix = make_record(0, recipe=job_of(number).recipe).mix if number >= 0 else Mix()
    seconds = {"load": 2.0, "training": 60.0 * (number + 1), "generation": 9.0}
    record, draws = record_trial(
        job_of(number), study, suite, Outcome(found, mix, None, seconds, {}), base
    )
    write_outputs(trial_dir(run_dir, number) / OUTPUTS_FILE, suite.parts, suite.requests, found)
    write_draws(run_dir, number, draws)
    write_record(run_dir, record)
    return record


def make_run(run_dir, study, kept=()):
    """A run of this study; the weights of the trials `kept` are there."""
    run_dir.mkdir(parents=True)
    bind(run_dir, study, SPACE)
    for number in (BASE_NUMBER, *TRIALS):
        measure(run_dir, study, number)
    for number in kept:
        (trial_dir(run_dir, number) / weights_file(1.0)).touch()
    return run_dir


def bound_of(study, first):
    """What a new run is bound to that looks for leakage in the texts of an earlier one."""
    return BoundStudy(study, SPACE, first.evaluation)
