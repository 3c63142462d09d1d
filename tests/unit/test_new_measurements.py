"""Trials of an earlier run under a study that measures something else: which are taken, measured
anew, trained again or refused, and that each is what this study would have measured."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from new_sets_factory import (
    SPACE,
    TOKENIZER,
    TRIALS,
    answers,
    bound_of,
    make_run,
    measure,
    study_of,
    write_sets,
)

from mtray.errors import ConfigError, MtrayError, RunError
from mtray.evaluation.suite import build_suite
from mtray.report.bootstrap_draws import read_draws
from mtray.report.export import read_front
from mtray.report.records import read_record, read_records
from mtray.run_files import BASE_NUMBER, OUTPUTS_FILE, result_path, trial_dir
from mtray.schema import Budget, Limit, Mix, is_cost
from mtray.search.ledger import measured_imports as measuring
from mtray.search.ledger.ledger import Ledger
from mtray.search.ledger.measured_imports import MEASURED, forget_measured, measured_imports
from mtray.search.ledger.new_measurements import planned
from mtray.search.ledger.run_folder import bind
from mtray.search.ledger.warm_start import earlier_run
from mtray.sweep_command import arguments, load
from mtray.trial.job import Outcome

NO_MIX = Mix()
ALL = set(TRIALS)
WITH_WEIGHTS = {1, 2}
FEW = Budget(trials=2, confirm=0, baselines="none", replicate_share=0)


def pairs(direction="en-uk", file="pairs", size=30, **more):
    return {"direction": direction, "path": f"{{}}/{file}.jsonl", "size": size, **more}


def placed(value, folder):
    """The value with the folder in its paths."""
    if isinstance(value, dict):
        return {k: placed(v, folder) for k, v in value.items()}
    if isinstance(value, list):
        return [placed(v, folder) for v in value]
    return value.format(folder) if isinstance(value, str) else value


def translation(direction="en-es", **more):
    return {"measure": "translation", **pairs(direction, **more)}


ENGLISH = {"measure": "perplexity", "path": "{}/pairs.jsonl", "language": "en", "size": 30,
           "columns": {"text": "en"}}  # fmt: skip
BOTH = {"spanish": translation(), "english": ENGLISH}
SPANISH = {**ENGLISH, "language": "es", "columns": {"text": "es"}}
UK, BACK = pairs(), pairs("uk-en")
# what changes, before: of the earlier run; now: of the new one; asked: requests to each model by
# set, None where scores are taken as they are. A trial without weights is taken where none is asked
CASES = {
    "nothing": ({}, {}, None),
    "an additional quality set": ({}, {"quality": [UK, BACK]}, {"quality.uk-en": 30}),
    "an additional ability": (
        {}, {"abilities": {**BOTH, "es": SPANISH}}, {"es": 30}
    ),
    "an ability with the requests of another set": (
        {}, {"abilities": {**BOTH, "translation": translation("en-uk")}}, {}
    ),
    "a removed quality set": ({"quality": [UK, BACK]}, {"quality": [UK]}, {}),
    "a removed ability": ({}, {"abilities": {"spanish": translation()}}, None),
    "a removed ability and an additional set": (
        {}, {"abilities": {"spanish": translation()}, "quality": [UK, BACK]}, {"quality.uk-en": 30}
    ),
    "a larger set": ({}, {"quality": [pairs(size=40)]}, {"quality.en-uk": 10}),
    "a smaller set": (
        {"quality": [pairs(take="first")]}, {"quality": [pairs(take="first", size=20)]}, {}
    ),
    "another file": ({}, {"quality": [pairs(file="more")]}, {"quality.en-uk": 30}),
    "more resamples": ({}, {"bootstrap": 300}, {}),
    "long segments in parts": ({}, {"comet_long": "sentences"}, {}),
    "a metric that is not needed": ({}, {"metrics": ["chrf", "bleu"]}, None),
    "a metric as an objective": (
        {}, {"metrics": ["chrf", "bleu"], "objectives": {"bleu.en-uk": "max", "retention": "max"}},
        {},
    ),
    "a weight": ({}, {"abilities": {**BOTH, "english": {**ENGLISH, "weight": 3}}}, None),
    "a weight and an additional set": (
        {}, {"abilities": {**BOTH, "english": {**ENGLISH, "weight": 3}}, "quality": [UK, BACK]},
        {"quality.uk-en": 30},
    ),
}  # fmt: skip


@pytest.fixture
def bench(tmp_path, monkeypatch):
    write_sets(tmp_path)
    asked = []

    def ask(number, requests, mix=NO_MIX):
        asked.append((number, len(requests)))
        return Outcome(answers(requests, number), mix, None, {"generation": 1.0}, {})

    monkeypatch.setattr(
        measuring, "kept_outcome",
        lambda file, record, study, requests: ask(record.number, requests, record.mix),
    )  # fmt: skip
    monkeypatch.setattr(measuring, "base_outcome", lambda _, requests: ask(-1, requests))
    monkeypatch.setattr(measuring, "in_separate_process", lambda function, *given: function(*given))
    monkeypatch.setattr("mtray.training.models.load_tokenizer", lambda *_: TOKENIZER)
    return Bench(tmp_path, asked)


@dataclasses.dataclass
class Bench:
    folder: object
    asked: list

    def study(self, changes):
        return study_of(self.folder, **placed(changes, self.folder))

    def run(self, changes, kept=WITH_WEIGHTS):
        self.before = self.study(changes)
        self.old = make_run(self.folder / "old", self.before, kept)
        return self.old

    def survey(self, now, again=None):
        bound = bound_of(now, self.before)
        suite = build_suite(now, TOKENIZER)
        return planned(earlier_run(self.old, bound), now, suite, self.new, again)

    @property
    def new(self):
        return self.folder / "new"

    def imported(self, now, taken):
        """The ledger of the new run, with the trials measured and imported."""
        self.new.mkdir(exist_ok=True)
        bind(self.new, now, SPACE)
        said = []
        suite = build_suite(now, TOKENIZER)
        found = measured_imports(self.new, now, suite, taken, said.append)
        ledger = Ledger(self.new, now.model_copy(update={"budget": FEW}), SPACE, found)
        forget_measured(self.new)
        self.said = said
        return ledger


def values(record):
    """Everything that is measured, to the bit; the base model has no cost of training."""
    kept = {"state", "objectives", "scores", "constraints", "counts", "recipe", "seed", "mix"}
    found = record.model_dump(include=kept)
    if record.role == "base":
        found["scores"] = {n: s for n, s in found["scores"].items() if not is_cost(n)}
    return found


@pytest.mark.parametrize("case", CASES)
def test_every_change_of_the_evaluation(bench, case):
    before, now, asked = CASES[case]
    old, study = bench.run(before), bench.study(now)
    survey = bench.survey(study)
    taken = {trial.record.number: trial.asked for trial in survey.taken}
    assert set(taken) == (WITH_WEIGHTS if asked else ALL)
    assert all(found == asked for found in taken.values())
    without = [line for line in survey.left_out if line.endswith("its weights are not kept")]
    assert len(without) == len(survey.left_out) == len(ALL - set(taken))
    bench.imported(study, survey.taken)
    count = sum((asked or {}).values())
    models = [BASE_NUMBER, *sorted(WITH_WEIGHTS)] if asked else []
    assert bench.asked == [(number, count) for number in models]
    copies = {r.taken_from.number: r for r in read_records(bench.new).trials if r.taken_from}
    assert set(copies) == set(taken)
    if case == "a metric that is not needed":
        return  # as documented, it is not measured for trials of an earlier run
    for number, copy in copies.items():
        direct = measure(bench.folder / "direct", study, number)
        assert_same(copy, direct, asked is not None)
        draws = (
            read_draws(run, n, None)
            for run, n in ((bench.new, copy.number), (bench.folder / "direct", number))
        )
        here, there = draws
        # a removed ability's draws stay where scores are only recomputed
        assert set(here) == set(there) if asked is not None else set(here) >= set(there)
        for name, found in there.items():
            np.testing.assert_allclose(here[name], found, rtol=1e-4, atol=1e-6, err_msg=name)
        assert copy.taken_from.run == str(old)
        assert (MEASURED in copy.extra) == (asked is not None)
        if asked is not None:
            assert copy.extra[MEASURED]["asked"] == asked
    base = result_path(bench.new, BASE_NUMBER)
    assert base.is_file() == (asked is not None)
    if asked is not None:
        direct = measure(bench.folder / "direct", study, BASE_NUMBER)
        assert_same(read_record(base), direct, True)


def assert_same(copy, direct, exactly):
    """As measured under the new study; recomputed values agree to the rounding of stored draws."""
    if exactly:
        assert values(copy) == values(direct)
        return
    assert set(copy.scores) == set(direct.scores)
    for name, score in direct.objectives.items():
        assert copy.objectives[name].value == pytest.approx(score.value, rel=1e-9)


REFUSED = {
    "another generation": {"beams": 4},
    "longer answers": {"max_new_tokens": 99},
    "other alphas": {"reversion": [0.5]},
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_stays_refused_names_the_key(bench, case):
    bench.run({})
    with pytest.raises(RunError, match=f"study.evaluation.{next(iter(REFUSED[case]))} = "):
        bench.survey(bench.study(REFUSED[case]))


NEW_SET = {"quality": [UK, BACK]}


def test_content_that_changed_under_its_path_is_measured_anew(bench):
    bench.run({})
    study, file = bench.study({}), bench.folder / "pairs.jsonl"
    file.write_text(file.read_text().replace("cab 3", "cab 93"))
    survey = bench.survey(study)
    assert survey.anew == (f"{file} has other content",)
    assert {trial.record.number for trial in survey.taken} == WITH_WEIGHTS
    assert survey.taken[0].asked == {"quality.en-uk": 30, "spanish": 30, "english": 30}


def test_without_its_stored_answers_a_model_answers_everything(bench):
    old, study = bench.run({}), bench.study(NEW_SET)
    for number in (0, 1):
        (trial_dir(old, number) / OUTPUTS_FILE).unlink()
    taken = bench.survey(study).taken
    asked = {t.record.number: sum(t.asked.values()) for t in taken}
    assert asked == {1: 120, 2: 30}


def test_what_is_measured_is_said_before(bench):
    bench.run({})
    assert bench.survey(bench.study(NEW_SET)).lines() == [
        f"--from {bench.old}: 2 of 4 trials fit; the base model is measured anew",
        "  measured anew: study.evaluation.quality.uk-en",
        # 2 * (2 s to load + 9 s for 90 requests / 3)
        "  trials 1, 2: 60 requests (quality.uk-en 60) on kept weights, before the sweep and on "
        "this machine, about 10s",
        "  base model: answers 30 requests (quality.uk-en 30)",
        # trial 0: 2 + 60 + 9 s; trial 3 is a repeat
        "  to train again first, as trials of this run's budget: "
        "`--train-again front` (trial 0, about 1m11s) or `--train-again all` (trial 0, about "
        "1m11s)",
        "  left out: trial 0: 30 requests (quality.uk-en 30) not answered, and its weights are not "
        "kept",
        "  left out: trial 3: 30 requests (quality.uk-en 30) not answered, and its weights are not "
        "kept",
    ]


@pytest.mark.parametrize("again, expected", [("front", {0}), ("all", {0, 2}), (None, set())])
def test_trials_that_are_trained_again_come_first(bench, again, expected):
    """Trial 0 is the best in everything; 1 has weights, 3 repeats it."""
    bench.run({}, kept={1, 3})
    study = bench.study(NEW_SET)
    survey = bench.survey(study, again)
    chosen = {trial.record.number for trial in survey.taken if trial.again}
    assert chosen == expected
    assert len(survey.left_out) == 2 - len(expected)
    ledger = bench.imported(study, survey.taken)
    assert ledger.taken_over == 2
    jobs = [ledger.next(9) for _ in range(3)]
    first = [job.recipe.parallel_size for job in jobs][: len(expected)]
    assert first == [100 * (number + 1) for number in sorted(expected)]
    assert all((job.seed, job.replicate, job.role) == (1, 0, "search") for job in jobs)
    for job, number in zip(jobs, sorted(expected), strict=False):
        assert ledger.purpose(job.number) == f"is trained again: trial {number} of old"
    numbers = [job.number for job in jobs]
    again_ledger = bench.imported(study, bench.survey(study, again).taken)
    assert again_ledger.taken_over == 2
    assert [again_ledger.next(9).number for _ in numbers] == numbers, "enqueued once"


def test_nothing_is_measured_twice(bench):
    bench.run({})
    study = bench.study(NEW_SET)
    bench.imported(study, bench.survey(study).taken)
    count = len(bench.asked)
    survey = bench.survey(study)
    assert "  trials 1, 2: imported by an earlier start" in survey.lines()
    assert bench.imported(study, survey.taken).taken_over == 2
    assert len(bench.asked) == count == 3


def test_an_interrupted_measurement_goes_on(bench, monkeypatch):
    bench.run({})
    study, ask = bench.study(NEW_SET), measuring.kept_outcome

    def killed(file, record, *given):
        if record.number == 2:
            raise KeyboardInterrupt
        return ask(file, record, *given)

    with monkeypatch.context() as patch:
        patch.setattr(measuring, "kept_outcome", killed)
        with pytest.raises(KeyboardInterrupt):
            bench.imported(study, bench.survey(study).taken)
    assert bench.imported(study, bench.survey(study).taken).taken_over == 2
    assert [number for number, _ in bench.asked] == [-1, 1, 2]
    assert not (bench.new / measuring.FOLDER).exists()


def test_what_was_measured_on_other_content_is_not_taken(bench):
    """The content of a test set is changed after an interruption."""
    study = bench.study(NEW_SET)
    before = measuring._key(study)
    assert measuring._key(bench.study(NEW_SET)) == before
    file = Path(study.evaluation.quality[0].path)
    file.write_bytes(file.read_bytes() + b"\n")
    assert measuring._key(study) != before


def test_one_that_cannot_be_measured_is_left_out(bench, monkeypatch):
    bench.run({})
    study, ask = bench.study(NEW_SET), measuring.kept_outcome

    def fails(file, record, *given):
        if record.number == 1:
            raise MtrayError("not a readable file of weights")
        return ask(file, record, *given)

    monkeypatch.setattr(measuring, "kept_outcome", fails)
    assert bench.imported(study, bench.survey(study).taken).taken_over == 1
    assert bench.said == [f"not imported: trial 1 of {bench.old}: not a readable file of weights"]


def test_no_trial_without_its_objectives_is_on_the_front(bench):
    """Those that lack a set are nowhere in the new run."""
    bench.run({})
    objectives = {"chrf.mean": "max", "retention": "max"}
    study = bench.study({**NEW_SET, "objectives": objectives})
    bench.imported(study, bench.survey(study).taken)
    front = read_front(bench.new, study)
    assert {p.number for p in front.points} == {BASE_NUMBER, 0, 1}
    assert all(set(p.objectives) == set(objectives) for p in front.points)
    taken = bench.survey(study).taken
    (bench.folder / "other").mkdir()
    with pytest.raises(ValueError, match="was to be measured anew first"):
        Ledger(bench.folder / "other", study, SPACE, [dataclasses.replace(taken[0], asked={})])


def test_a_constraint_is_decided_by_the_new_values(bench):
    """Infeasible there, feasible here, and the other way round."""
    bench.before = bench.study({}).model_copy(
        update={"constraints": {"chrf.en-uk": Limit(at_least=99.9)}}
    )
    bench.old = make_run(bench.folder / "old", bench.before, WITH_WEIGHTS)
    assert {r.state for r in read_records(bench.old).trials} == {"infeasible"}
    study = bench.study(NEW_SET)
    assert bench.imported(study, bench.survey(study).taken).taken_over == 2
    limits = {"chrf.uk-en": Limit(at_least=99.9)}
    study = study.model_copy(update={"constraints": limits, "name": "limited"})
    bench.folder.joinpath("new").rename(bench.folder / "first")
    assert bench.imported(study, bench.survey(study).taken).taken_over == 0
    assert len(bench.said) == 2 and "infeasible" in bench.said[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--train-again", "front"], "--train-again front: needs --from RUN"),
        (["--page", "off", "--page-port", "8000"], "--page-port 8000: there is no page"),
    ],
)
def test_options_that_need_another_one(given, said):
    with pytest.raises(ConfigError, match=said):
        load(arguments(given))
