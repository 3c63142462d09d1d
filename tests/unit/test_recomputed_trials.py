"""A run under another study: what is recomputed from kept scores and draws is what a run that was
measured so has."""

import json

import numpy as np
import pytest
import yaml
from measured_factory import abilities_in, measure_run, study_in, tabulate_comet, write_sets
from records_factory import make_failed, make_pruned, make_record, make_study

from mtray.analysis.retention import RetainedAbility, retention
from mtray.analysis.uncertainty import drawn, mean_measurement
from mtray.cli import main
from mtray.errors import RunError
from mtray.report.bootstrap_draws import draws_of, read_draws
from mtray.report.groups import measured
from mtray.report.recomputed_trials import UNPAIRED, recompute, recompute_run
from mtray.report.records import write_record
from mtray.run_files import DRAWS_FILE, trial_dir
from mtray.schema import AbilitySpec
from mtray.search.ledger.run_folder import bind
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space

SPACE = Space(
    parameters={"mono_ratio": FloatRange(type="float", low=0, high=2)}, fixed={"parallel_size": 64}
)


@pytest.fixture
def sets(tmp_path, monkeypatch):
    write_sets(tmp_path)
    tabulate_comet(monkeypatch)
    return tmp_path


def changed(sets, drop=(), weights=None, **changes):
    """The study without some abilities, with other weights, with other keys."""
    found = {n: spec for n, spec in abilities_in(sets).items() if n not in drop}
    for name, weight in (weights or {}).items():
        found[name] = {**found[name], "weight": weight}
    return study_in(sets, found, **changes)


OTHER = {"objectives": {"chrf.en-uk": "max", "retention.spanish": "max"}}
LIMIT = {"constraints": {"retention.spanish": {"at_least": 0.7}}}
# what is other in the study that a run was measured with, and in the one that it is recomputed for
CASES = {
    "nothing": ({}, {}),
    "an ability less": ({}, {"drop": ["spanish"]}),
    "one of another measure less": ({}, {"drop": ["modelling"]}),
    "two less": ({}, {"drop": ["german", "modelling"]}),
    "weights": ({}, {"weights": {"spanish": 5, "german": 0.5}}),
    "all weights twice": ({}, {"weights": {"spanish": 2, "german": 2, "modelling": 6}}),
    "less, and weights": ({}, {"drop": ["german"], "weights": {"spanish": 2}}),
    "objectives": ({}, OTHER),
    "objectives back": (OTHER, {}),
    "their order": ({}, {"objectives": {"retention": "max", "quality": "max"}}),
    "a cost": ({}, {"objectives": {"quality": "max", "cost.seconds": "min"}}),
    "a constraint": ({}, LIMIT),
    "a constraint back": (LIMIT, {}),
    "a constraint on what is none of the objectives": (
        OTHER, {**OTHER, "constraints": {"quality": {"at_least": 0.1}}}),
    "everything": (LIMIT, {**OTHER, "drop": ["german"], "weights": {"modelling": 1}}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_a_run_that_was_measured_so_has(sets, case):
    """Values to rounding; intervals and draws to that of the file of draws, float32. The interval
    of the worst ability divides by the standard error of each, so rounding counts for more."""
    before, now = (changed(sets, **given) for given in CASES[case])
    was = measure_run(sets / "was", before)
    expected = {r.number: r for r in measure_run(sets / "is", now)}
    run = recompute_run(was, before, now, draws_of(sets / "was"))
    assert [r.number for r in run.records] == [-1, 0, 1]
    for found in run.records:
        wanted = expected[found.number]
        for part in ("state", "reason", "recipe", "counts", "extra"):
            assert getattr(found, part) == getattr(wanted, part), part
        assert found.constraints == pytest.approx(wanted.constraints)
        assert list(found.objectives) == list(wanted.objectives)
        assert found.scores.keys() == wanted.scores.keys()
        names = [*found.scores, *found.objectives]
        own = run.draws(found.number, names)
        there = read_draws(sets / "is", found.number, names)
        assert own.keys() == there.keys() == set(names)
        for name in names:
            a, b = measured(found)[name], measured(wanted)[name]
            assert (a.n, a.signature, a.least, a.most) == (b.n, b.signature, b.least, b.most), name
            assert a.value == pytest.approx(b.value, rel=1e-13, abs=1e-13), name
            rounding = 1e-4 if name == "retention.worst" else 1e-6
            assert (a.low, a.high) == pytest.approx((b.low, b.high), rel=rounding), name
            np.testing.assert_allclose(own[name], there[name], rtol=1e-6, err_msg=name)
    assert run.notes == ()


def test_under_its_own_study_a_run_is_what_it_was(sets):
    study = changed(sets, **LIMIT)
    was = [*measure_run(sets, study), make_failed(2), make_pruned(3)]
    run = recompute_run(was, study, study, draws_of(sets))
    assert run.records == was
    assert not any(trial.stale or trial.draws for trial in run.trials)
    assert {r.state for r in was} == {"complete", "infeasible", "failed", "pruned"}


def test_rungs_of_other_objectives_are_left_behind(sets):
    was, now = changed(sets), changed(sets, drop=["spanish"])
    pruned = make_pruned(3)
    kept = draws_of(sets)
    assert recompute(pruned, was, changed(sets, **LIMIT), kept, None).record.rungs == pruned.rungs
    found = recompute(pruned, was, now, kept, None).record
    assert found.rungs == () and found.state == "pruned" and found.reason == pruned.reason


def test_without_draws_the_mean_is_there_and_its_interval_is_wider(sets):
    """.8 [.7, .9] of weight 1 and .6 [.4, .7] of weight 3: .65, -.152, +.079 (MOVER)."""
    before, now = changed(sets), changed(sets, drop=["spanish"])
    records = measure_run(sets, before, draws=False)
    run = recompute_run(records, before, now, draws_of(sets))
    found = run.records[1]
    shares = {n: records[1].scores[f"retention.{n}"].value for n in ("german", "modelling")}
    expected = (shares["german"] + 3 * shares["modelling"]) / 4
    assert found.objectives["retention"].value == pytest.approx(expected)
    assert "retention.worst" not in found.scores and "retention" not in run.draws(0, ["retention"])
    assert run.notes == (f"trials base, 0, 1: {UNPAIRED}.",)


def test_another_objective_needs_no_draws(sets):
    before, now = changed(sets), changed(sets, **OTHER)
    records = measure_run(sets, before, draws=False)
    found = recompute_run(records, before, now, draws_of(sets)).records[1]
    assert found.objectives["chrf.en-uk"] == records[1].scores["chrf.en-uk"]


LEFT = [
    ({"drop": ["spanish", "german", "modelling"]}, {}, "objective 'retention' was not measured"),
    ({"objectives": {"chrf.en-uk": "max", "comet22.en-uk": "max"}}, {},
     "trials base, 0, 1: objective 'comet22.en-uk' was not measured"),
    ({"constraints": {"german.extra": {"at_least": 0}}}, {}, "constraint 'german.extra' was not"),
    ({"drop": ["spanish"]}, {"signature": "(s-c)/(b-c)|spanish|bootstrap:200"},
     "retention was measured as '(s-c)/(b-c)|spanish|bootstrap:200'"),
]  # fmt: skip


@pytest.mark.parametrize("now, score, reason", LEFT)
def test_what_is_not_kept_is_named_with_its_trials(sets, now, score, reason):
    before = changed(sets)
    records = measure_run(sets, before)
    if score:
        share = records[1].scores["retention.german"].model_copy(update=score)
        scores = {**records[1].scores, "retention.german": share}
        records[1] = records[1].model_copy(update={"scores": scores})
    with pytest.raises(RunError) as refused:
        recompute_run(records, before, changed(sets, **now), draws_of(sets))
    assert reason in str(refused.value)


def with_floors(**floors):
    specs = {
        name: AbilitySpec.model_validate({"measure": "lm_eval", "task": name, "floor": floor})
        for name, floor in floors.items()
    }
    study = make_study(objectives={"bleu.en-uk": "max", "retention": "max"})
    evaluation = study.evaluation.model_copy(update={"abilities": specs, "bootstrap": 200})
    return study.model_copy(update={"evaluation": evaluation})


def tasks(seed):
    rng = np.random.default_rng(seed)
    return {
        name: mean_measurement(mean + 0.2 * rng.normal(size=60), "acc", np.arange(60) + 100 * i)
        for i, (name, mean) in enumerate({"arc": 0.6, "boolq": 0.7}.items())
    }


def trial_of(number, tuned, base, floors):
    """What a trial keeps of two tasks."""
    kept = {n: RetainedAbility(tuned[n], base[n], floor) for n, floor in floors.items()}
    found = {f"retention.{n}": d for n, d in retention(kept, 200, 1).items()}
    found["retention"] = found.pop("retention.mean")
    found |= {n: drawn(m, 200, 1) for n, m in tuned.items()}
    record = make_record(number)
    scores = {n: d.score for n, d in found.items() if n != "retention"}
    objectives = {"bleu.en-uk": record.scores["bleu.en-uk"], "retention": found["retention"].score}
    changes = {
        "scores": scores | {"bleu.en-uk": objectives["bleu.en-uk"]},
        "objectives": objectives,
    }
    return record.model_copy(update=changes), {n: d.draws for n, d in found.items()}


def refloored(trials, old, new):
    """The trials, by number with their draws, under other floors."""
    return recompute_run(
        [record for record, _ in trials.values()], with_floors(**old), with_floors(**new),
        lambda number, names: {n: trials[number][1][n] for n in names if n in trials[number][1]},
    )  # fmt: skip


def test_another_floor_is_that_of_a_run_that_had_it():
    base, tuned = tasks(0), tasks(1)
    old, new = {"arc": 0.25, "boolq": 0.5}, {"arc": 0.1, "boolq": 0.5}
    trials = {-1: trial_of(-1, base, base, old), 0: trial_of(0, tuned, base, old)}
    run = refloored(trials, old, new)
    wanted, draws = trial_of(0, tuned, base, new)
    found = run.records[1]
    assert found.scores == wanted.scores and found.objectives == wanted.objectives
    assert found.scores["retention.arc"] != trials[0][0].scores["retention.arc"]
    for name in ("retention", "retention.arc", "retention.worst", "retention.boolq"):
        np.testing.assert_array_equal(run.draws(0, [name])[name], draws[name])
    assert run.records[0].objectives["retention"].value == 1.0


def test_a_floor_that_the_base_model_does_not_clear_leaves_the_ability_out():
    base, tuned = tasks(0), tasks(1)
    old, new = {"arc": 0.25, "boolq": 0.5}, {"arc": 0.6, "boolq": 0.5}
    trials = {-1: trial_of(-1, base, base, old), 0: trial_of(0, tuned, base, old)}
    run = refloored(trials, old, new)
    for found in run.records:
        assert "retention.arc" not in found.scores
        assert "is not above the floor 0.6 by 2 standard" in found.extra["left_out"]["arc"]
        alone = found.scores["retention.boolq"]
        assert found.objectives["retention"].value == alone.value


@pytest.fixture
def run_dir(sets):
    """A run bound to a study with three abilities."""
    folder = sets / "runs/mine"
    folder.mkdir(parents=True)
    bind(folder, study_in(sets), SPACE)
    measure_run(folder, study_in(sets))
    return folder


def file_of(sets, study):
    path = sets / "changed.yaml"
    path.write_text(yaml.safe_dump(json.loads(study.model_dump_json())))
    return path


def run(*argv):
    return main([str(a) for a in argv])


def test_a_run_is_shown_and_exported_as_another_study_has_it(run_dir, sets, capsys):
    before = {p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file()}
    now = changed(sets, drop=["spanish"], objectives={"chrf.en-uk": "max", "retention": "max"})
    path = file_of(sets, now)
    assert run("front", run_dir, "--study", path) == 0
    shown = capsys.readouterr().out
    assert "chrf.en-uk" in shown and f"export {run_dir} --study {path} --out FOLDER" in shown
    assert "python -m mtray test" not in shown, "it goes by the run's own study"
    assert run("export", run_dir, "--study", path, "--out", sets / "out") == 0
    front = json.loads((sets / "out/front.json").read_text())
    run_of_it = measure_run(sets / "other", now)
    kept = {p["number"]: p["objectives"]["retention"]["value"] for p in front["points"]}
    assert kept == pytest.approx({r.number: r.objectives["retention"].value for r in run_of_it})
    assert front["abilities"][0]["kept"] == ["german", "modelling"]
    assert front["answer"]["number"] == -1 and front["answer"]["commands"] == []
    assert front["notes"][-1] == (
        f"Recomputed under {path}, which differs from the run's own study in: "
        "study.evaluation.abilities.spanish, study.objectives."
    )
    assert {p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file()} == before


REFUSED = [
    ({"model": "other", "drop": ["spanish"]}, [],
     ["study.model = 'embedded', now it is 'other'", "abilities.spanish = {", "to train anew"]),
    ({"objectives": {"quality": "max", "chrf++.en-uk": "max"}}, [],
     ["trials base, 0, 1: objective 'chrf++.en-uk' was not measured", "study.objectives = "]),
    ({}, ["--model", "0", "x"], ["a model is exported as its run trained it"]),
]  # fmt: skip


@pytest.mark.parametrize("given, options, reasons", REFUSED)
def test_a_study_that_needs_more_is_refused_with_all_changes(
    run_dir, sets, capsys, given, options, reasons
):
    path = file_of(sets, changed(sets, **given))
    command = ["export", run_dir, *options, "--study", path, "--out", sets / "out"]
    assert run(*command) == 2
    error = capsys.readouterr().err
    assert all(reason in error for reason in reasons)
    assert not (sets / "out").exists()


def test_the_runs_own_front_is_not_overwritten(run_dir, sets, capsys):
    assert run("export", run_dir, "--study", file_of(sets, study_in(sets))) == 2
    assert "give --out FOLDER" in capsys.readouterr().err


def test_damaged_records_and_draws_of_older_versions(run_dir, sets, capsys):
    """Without draws the front says so; a record that cannot be read is named."""
    for number in (-1, 0, 1):
        (trial_dir(run_dir, number) / DRAWS_FILE).unlink()
    path = file_of(sets, changed(sets, drop=["spanish"]))
    assert run("front", run_dir, "--study", path) == 0
    assert "no draws are stored" in " ".join(capsys.readouterr().out.split())
    write_record(run_dir, make_record(5)).write_text("{")
    assert run("front", run_dir, "--study", path) == 2
    assert "0005/result.json" in capsys.readouterr().err
