"""Pure models trained and merged models measured, on a run of a tiny model."""

import pytest
from bound_run import save_model, study_in, write_files
from records_factory import make_record, make_study

from mtray import merged_models, retrain
from mtray.commands import proxy as command
from mtray.commands.proxy import RESULT, check_evaluation, proxy
from mtray.errors import ConfigError, RunError
from mtray.evaluation.output_files import write_outputs
from mtray.merged_models import MERGED, PURE
from mtray.report.proxy import Proxy, spread_mixtures
from mtray.report.records import read_records, write_record
from mtray.run_files import BASE_NUMBER, OUTPUTS_FILE, WEIGHTS_FILE, trial_dir
from mtray.schema import Recipe
from mtray.search.ledger.run_folder import bind
from mtray.search_space.mixture_corners import corners
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space

SPACE = Space(
    parameters={"mono_ratio": FloatRange(type="float", low=0, high=2)},
    fixed={"parallel_size": 8, "learning_rate": 0.01},
)
MEASURES = {"quality", "retention", "retention.animacy"}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with the base model and seven recipes, and what was answered, by folder and number."""
    write_files(tmp_path)
    study, run_dir, answered = (
        study_in(tmp_path, save_model(tmp_path / "model")),
        tmp_path / "r",
        {},
    )
    bind_to(run_dir, study, SPACE)
    write_record(run_dir, make_record(BASE_NUMBER, 0.5, 1.0, "base"))
    for number, recipe in enumerate(spread_mixtures(SPACE, 7)):
        write_record(run_dir, make_record(number, 0.6 + 0.01 * number, 0.9, recipe=recipe))

    def scored(job, study, suite, outcome, base):
        answered[job.number, outcome.training is None] = [o.text for o in outcome.outputs]
        quality = 0.6 + 0.01 * job.recipe.mono_ratio
        return make_record(job.number, quality, 0.9, recipe=job.recipe, seed=job.seed), {}

    monkeypatch.setattr(merged_models, "record_trial", scored)
    # deepspeed starts once in a process
    monkeypatch.setattr(retrain, "find_spec", lambda name: None)
    monkeypatch.setattr(
        command, "in_separate_process", lambda function, *arguments: function(*arguments)
    )
    return run_dir, study, answered


def bind_to(run_dir, study, space):
    run_dir.mkdir()
    bind(run_dir, study, space)


def measured_base(run_dir, monkeypatch):
    """As the sweep leaves it."""
    load = command.load_suite

    def loaded(study):
        tokenizer, suite = load(study)
        outputs = [merged_models.Output("", 0.0, 0, False)] * len(suite.requests)
        file = trial_dir(run_dir, BASE_NUMBER) / OUTPUTS_FILE
        write_outputs(file, suite.parts, suite.requests, outputs)
        return tokenizer, suite

    monkeypatch.setattr(command, "load_suite", loaded)


def test_pure_models_are_trained_once_and_merged_ones_measured_once(run, monkeypatch, capsys):
    run_dir, _, answered = run
    measured_base(run_dir, monkeypatch)
    assert proxy(run_dir, 9, 20) == 0
    folder = run_dir / "proxy"
    assert [r.recipe for r in read_records(folder / PURE).records] == list(corners(SPACE))
    assert all((trial_dir(folder / PURE, i) / WEIGHTS_FILE).is_file() for i in (0, 1))
    merged = read_records(folder / MERGED).records
    assert [r.recipe for r in merged] == spread_mixtures(SPACE, 9), "the run's seven and two others"
    found = Proxy.model_validate_json((run_dir / RESULT).read_bytes())
    assert (found.pure, found.merged, found.ranked) == (2, 9, 20)
    assert found.trials == tuple(range(7)) and set(found.correlations) == MEASURES
    assert "2 pure models trained" in capsys.readouterr().out
    answered.clear()
    assert proxy(run_dir, 9, 30) == 0 and answered == {}, "nothing is measured again"
    assert proxy(run_dir, 10, 30) == 0 and list(answered) == [(9, True)]
    (trial_dir(folder / PURE, 1) / WEIGHTS_FILE).unlink()
    answered.clear()
    assert proxy(run_dir, 10, 30) == 0 and list(answered) == [(1, False)], "without its weights"


def test_merged_with_one_share_it_answers_as_the_pure_model(run, monkeypatch):
    run_dir, study, answered = run
    pure = corners(SPACE)
    monkeypatch.setattr(merged_models.MergeSession, "base_outputs", lambda _: [])
    tokenizer, suite = command.load_suite(study)
    session = merged_models.MergeSession(
        run_dir, run_dir / "proxy", study, study, SPACE, suite, tokenizer
    )
    merged_models.train_pure(session, dict(enumerate(pure)))
    merged_models.measure_merged(session, pure, {0: pure[0], 1: pure[1], 2: between(pure)})
    for number in (0, 1):
        assert answered[number, True] == answered[number, False]
    assert len(answered[2, True]) == len(suite.requests)


def test_another_evaluation_needs_new_measurements(tmp_path):
    study = make_study()
    check_evaluation(tmp_path, study)
    check_evaluation(tmp_path, study)
    longer = study.evaluation.model_copy(update={"max_new_tokens": 7})
    with pytest.raises(RunError, match="measured before the run's evaluation was changed; remove"):
        check_evaluation(tmp_path, study.model_copy(update={"evaluation": longer}))


def between(pure: tuple[Recipe, ...]) -> Recipe:
    return pure[0].with_values({"mono_ratio": 1.0})


def test_what_is_missing_or_cannot_be_merged_is_said(run, tmp_path):
    run_dir, study, _ = run
    with pytest.raises(RunError, match="the base model is not measured yet"):
        proxy(run_dir, 9, 20)
    assert not (run_dir / "proxy").exists()
    rates = FloatRange(type="float", low=0.001, high=0.01)
    searched = Space(parameters={"learning_rate": rates}, fixed={"parallel_size": 8})
    bind_to(tmp_path / "other", study, searched)
    with pytest.raises(ConfigError, match="learning_rate is searched"):
        proxy(tmp_path / "other", 9, 20)
