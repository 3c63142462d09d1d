"""A run's folder: one process at a time, and one study."""

import json
import os
import stat
import subprocess
import sys
import textwrap

import pytest
from records_factory import make_study

from mtray.errors import ConfigError, RunError
from mtray.schema import Budget, Divergence, Resources, Training
from mtray.search.ledger.run_folder import (
    BoundStudy,
    bind,
    check_bound,
    load_bound,
    locked,
    locked_run,
    make_run_dir,
    read_bound,
)
from mtray.search.ledger.study_changes import text_changes
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space

SPACE = Space(
    parameters={"mono_ratio": FloatRange(type="float", low=0, high=2)}, fixed={"parallel_size": 64}
)
HOLD = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from mtray.search.ledger.run_folder import locked
    with locked(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
    """
)


def test_a_folder_is_made_and_kept(tmp_path):
    with locked_run(tmp_path / "a/b", "mine") as run_dir:
        assert run_dir == tmp_path / "a/b/mine" and os.listdir(run_dir) == [".lock"]
        (run_dir / "kept").touch()
    with locked_run(tmp_path / "a/b", "mine") as again:
        assert again == run_dir
    assert sorted(os.listdir(run_dir)) == [".lock", "kept"]


def test_a_mistake_leaves_no_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ConfigError), locked_run(tmp_path / "a/b", "mine"):
        raise ConfigError("an unknown key")
    assert os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == []
    with pytest.raises(ConfigError), locked_run(tmp_path / "a/b", "mine") as run_dir:
        bind(run_dir, make_study(), SPACE)
        raise ConfigError("later")
    with pytest.raises(ConfigError), locked_run(tmp_path / "a/b", "mine"):
        raise ConfigError("an old run stays")
    assert (tmp_path / "a/b/mine/study.json").is_file()


def test_a_folder_beside_other_runs_is_removed_alone(tmp_path):
    with locked_run(tmp_path / "runs", "first") as first:
        with locked_run(tmp_path / "runs", "second") as second:
            assert second.is_dir()
        assert first.is_dir() and not second.exists()
    assert not (tmp_path / "runs").exists()


def test_a_relative_folder_becomes_absolute(tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    with locked_run(Path("runs"), "mine") as run_dir:
        assert run_dir == tmp_path / "runs/mine"


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--runs-dir .*file.*cannot be written \(Not a dir"):
        make_run_dir(tmp_path / "file" / "mine")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_the_permission(tmp_path):
    (tmp_path / "mine").mkdir(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(ConfigError, match=r"cannot be written \(Permission denied\)"):
        make_run_dir(tmp_path / "mine")


def test_a_second_process_is_refused_until_the_first_ends_however_it_ends(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout.readline() == "held\n"
        message = f"run '{tmp_path.name}' is in use by process {other.pid}; .*--name"
        with pytest.raises(RunError, match=message), locked(tmp_path):
            pytest.fail("the lock was given twice")
        other.kill()
        other.wait()
        with locked(tmp_path):
            assert (tmp_path / ".lock").read_text() == f"process {os.getpid()}"
    with locked(tmp_path):
        pass


def test_an_error_within_gives_the_lock_back(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path):
        pass


def test_a_run_is_bound_to_its_study_and_space(tmp_path):
    with pytest.raises(RunError, match=r"not a run folder \(no study\.json\)"):
        load_bound(tmp_path)
    bind(tmp_path, make_study(), SPACE)
    bind(tmp_path, make_study(), SPACE)
    assert load_bound(tmp_path) == (make_study(), SPACE)


def test_budget_and_resources_may_change(tmp_path):
    bind(tmp_path, make_study(budget=Budget(trials=12)), SPACE)
    later = make_study(budget=Budget(trials=16), resources=Resources(workers=2))
    bind(tmp_path, later, SPACE)
    assert load_bound(tmp_path)[0] == later


def test_what_is_recorded_beside_the_scores_may_change(tmp_path):
    """Also in a run of a version that did not know of it."""
    bind(tmp_path, make_study(), SPACE)
    path = tmp_path / "study.json"
    found = json.loads(path.read_text())
    del found["study"]["evaluation"]["divergence"], found["evaluation_at_binding"]["divergence"]
    path.write_text(json.dumps(found))
    evaluation = make_study().evaluation.model_copy(update={"divergence": Divergence(prompts=0)})
    later = make_study(evaluation=evaluation)
    assert text_changes(read_bound(tmp_path).evaluation, evaluation) == ()
    bind(tmp_path, later, SPACE)
    assert load_bound(tmp_path)[0] == later


WIDER = Space(parameters={"mono_ratio": FloatRange(type="float", low=0, high=3)}, fixed=SPACE.fixed)
MORE = Space(
    parameters=SPACE.parameters | {"learning_rate": FloatRange(type="float", low=0.1, high=0.2)},
    fixed=SPACE.fixed,
)
CHANGES = [
    (make_study(seed=2), SPACE, "study.seed = 1, now it is 2"),
    (make_study(training=Training(epochs=3)), SPACE, "study.training.epochs = 1, now it is 3"),
    (
        make_study(training=Training(max_steps=9)),
        SPACE,
        "training.max_steps was not set, now it is 9",
    ),
    (make_study(), WIDER, r"space.parameters.mono_ratio.high = 2.0, now it is 3.0"),
    (make_study(), MORE, "space.fixed.learning_rate = 0.001, now it is not set"),
    (make_study(objectives={"quality": "max", "bleu": "max"}), SPACE, "study.objectives = .*bleu"),
]


@pytest.mark.parametrize("study, space, message", CHANGES)
def test_a_change_is_named_by_its_key(tmp_path, study, space, message):
    bind(tmp_path, make_study(), SPACE)
    with pytest.raises(RunError, match=f"(?s)run '{tmp_path.name}' was started with.*{message}"):
        bind(tmp_path, study, space)
    assert load_bound(tmp_path) == (make_study(), SPACE), "a refusal leaves the run as it was"


def test_the_order_of_the_objectives_is_part_of_the_study(tmp_path):
    """The values in the journal have the order of the study that it was started with."""
    turned = {"retention": "max", "quality": "max"}
    bind(tmp_path, make_study(), SPACE)
    with pytest.raises(RunError, match=r"study\.objectives"):
        bind(tmp_path, make_study(objectives=turned), SPACE)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"study": {}, "space": {}}',
        '{"study": 1}',
        '{"study": {"evaluation": {"quality": [], "abilities": []}}}',
    ],
)
def test_a_damaged_study_file_is_named(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(RunError, match=r"study\.json: "):
        load_bound(tmp_path)


def test_a_run_of_a_version_without_samples_has_the_first_segments(tmp_path):
    bind(tmp_path, make_study(), SPACE)
    path = tmp_path / "study.json"
    found = json.loads(path.read_text())
    evaluation = found["study"]["evaluation"]
    specs = [*evaluation["quality"], *evaluation["abilities"].values()]
    assert [spec.pop("take") for spec in specs] == ["sample"] * len(specs)
    del evaluation["sample_seed"]
    path.write_text(json.dumps(found))
    old = load_bound(tmp_path)[0]
    taken = {spec.take for spec in (*old.evaluation.quality, *old.evaluation.abilities.values())}
    assert taken == {"first"} and old.evaluation.sample_seed == 0
    with pytest.raises(RunError, match=r"take = 'first', now it is 'sample'"):
        bind(tmp_path, make_study(), SPACE)
    bind(tmp_path, old, SPACE)


def test_a_run_of_an_earlier_version_goes_on_with_defaults_for_newer_keys(tmp_path):
    bind(tmp_path, make_study(), SPACE)
    path = tmp_path / "study.json"
    found = json.loads(path.read_text())
    del found["study"]["training"]["packing"], found["study"]["sampler"]
    path.write_text(json.dumps(found))
    bind(tmp_path, make_study(), SPACE)
    path.write_text(json.dumps(found))
    with pytest.raises(RunError, match="sampler"):
        bind(tmp_path, make_study(sampler="tpe"), SPACE)


def test_a_run_whose_learning_rate_was_the_old_default_goes_on_with_that(tmp_path):
    """Nothing set it, and it was .001."""
    bind(tmp_path, make_study(), SPACE)
    (old, other) = (
        SPACE.model_copy(update={"fixed": {**SPACE.fixed, "learning_rate": rate}})
        for rate in (0.001, 0.002)
    )
    with pytest.raises(RunError, match=r"space.fixed.learning_rate = 0.001, now it is 0.002"):
        bind(tmp_path, make_study(), other)
    bind(tmp_path, make_study(), old)
    assert load_bound(tmp_path)[1] == old


def evaluated(test=None, abilities=("animacy",)):
    """A study with these abilities and, where a file is given, test segments in all sets."""
    study = make_study()
    found = study.evaluation
    quality = found.quality[0].model_copy(update={"test": {"path": test} if test else {}})
    ability = found.abilities["animacy"].model_copy(update={"test": {"path": test} if test else {}})
    evaluation = {"quality": (quality,), "abilities": dict.fromkeys(abilities, ability)}
    return make_study(evaluation=found.model_copy(update=evaluation))


@pytest.mark.parametrize(("first", "later"), [(None, "t.tsv"), ("t.tsv", "u.tsv"), ("t.tsv", None)])
def test_test_segments_may_change_and_the_data_stay_as_they_were_bound(tmp_path, first, later):
    bind(tmp_path, evaluated(first), SPACE)
    for study in (evaluated(later), evaluated("third.tsv"), evaluated(later)):
        assert check_bound(tmp_path, study, SPACE) == BoundStudy(
            study, SPACE, evaluated(first).evaluation
        )
        bind(tmp_path, study, SPACE)
    bound = read_bound(tmp_path)
    assert bound.study == evaluated(later)
    assert bound.sources_study == evaluated(first)
    assert check_bound(tmp_path / "new", evaluated(later), SPACE).sources_study == evaluated(later)


def test_an_ability_may_be_called_test(tmp_path):
    bind(tmp_path, evaluated(), SPACE)
    with pytest.raises(
        RunError, match=r"study\.evaluation\.abilities\.test was not set, now it is"
    ):
        bind(tmp_path, evaluated(abilities=("animacy", "test")), SPACE)


def test_a_run_of_an_earlier_version_is_bound_to_its_last_evaluation(tmp_path):
    bind(tmp_path, evaluated("t.tsv"), SPACE)
    path = tmp_path / "study.json"
    found = json.loads(path.read_text())
    del found["evaluation_at_binding"]
    path.write_text(json.dumps(found))
    bind(tmp_path, evaluated("u.tsv"), SPACE)
    assert read_bound(tmp_path).sources_study == evaluated("t.tsv")


def test_a_damaged_study_file_stops_a_start(tmp_path):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(RunError, match=r"study\.json: not the study of a run"):
        bind(tmp_path, make_study(), SPACE)
