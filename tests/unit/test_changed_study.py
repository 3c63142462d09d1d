"""`--from` with a changed study: trials come along as the new study has them, each that fits."""

import json

import numpy as np
import pytest
from ledger_factory import SOURCES, SPACE, study_of
from measured_factory import abilities_in, measure_run, study_in, tabulate_comet, write_sets
from records_factory import make_record
from tiny_models import byte_level
from warmstart_factory import bound_of, old_run, run

from mtray.data.draw_comparison import compared
from mtray.errors import RunError
from mtray.evaluation.output_files import read_outputs
from mtray.evaluation.scoring import suite_units
from mtray.evaluation.suite import build_suite, with_dropped_units
from mtray.report.bootstrap_draws import read_draws
from mtray.report.records import read_record, write_record
from mtray.run_files import OUTPUTS_FILE, result_path, trial_dir
from mtray.schema import Filters, Mix, Recipe, Source, SourceShare, Training
from mtray.search.ledger.ledger import Ledger
from mtray.search.ledger.run_folder import BoundStudy, bind, read_bound
from mtray.search.ledger.warm_start import earlier_run, inheriting
from mtray.search_space.parameters import FloatRange, IntRange
from mtray.search_space.space import Space

PAIRS, MONO = SOURCES
EXTRA = Source(name="extra", kind="mono", path="e.txt", languages=("en",))
REPLAY = Source(name="chat", kind="replay", path="c.jsonl")
MORE = Source(name="more", kind="parallel", path="q.tsv", languages=("en", "uk"))
REST = {"replay_fraction": 0.1}


@pytest.fixture
def old(tmp_path):
    """A run with a source of each kind, and trials without monolingual text or replay among its
    own."""
    folder = tmp_path / "runs" / "old"
    folder.mkdir(parents=True)
    sources = (PAIRS, MONO, REPLAY)
    bind(folder, study_of(sources=sources), SPACE)
    for number, recipe in enumerate(
        (
            Recipe(parallel_size=500, mono_ratio=1.0, learning_rate=1e-3, **REST),
            Recipe(parallel_size=500, mono_ratio=0.0, learning_rate=1e-3, **REST),
            Recipe(parallel_size=600, mono_ratio=1.0, learning_rate=1e-3, **REST),
        )
    ):
        write_record(folder, make_record(number, recipe=recipe))
    return folder


def changed(source, **changes):
    return source.model_copy(update=changes)


GAVE = "source mono gave 500 examples there and gives 250 here, by the sources' weights"
SOURCE_CASES = {
    "the same": ((PAIRS, MONO, REPLAY), {}),
    "another licence and cap": ((PAIRS, changed(MONO, licence="CC0", max_repeats=2), REPLAY), {}),
    "one more, of a kind that a trial has none of": (
        (PAIRS, MONO, EXTRA, REPLAY), {0: GAVE, 2: "source mono gave 600"}),
    "one more of pairs": (
        (PAIRS, MORE, MONO, REPLAY), dict.fromkeys(range(3), "source pairs gave")),
    "one less": ((PAIRS, REPLAY), {0: "mono_ratio is above 0 but the study has no source",
                                   2: "mono_ratio is above 0 but the study has no source"}),
    "another file": (
        (PAIRS, changed(MONO, path="other.txt"), REPLAY),
        {0: "source mono, of which it was trained on 500 examples, differs here",
         2: "source mono, of which it was trained on 600 examples, differs here"}),
    "another weight, of the only one of its kind": ((PAIRS, changed(MONO, weight=3.0), REPLAY), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", SOURCE_CASES)
def test_a_source_that_is_new_or_gone_leaves_the_trials_that_take_nothing_of_it(old, case):
    sources, reasons = SOURCE_CASES[case]
    found = earlier_run(old, bound_of(sources=sources))
    assert [t.record.number for t in found.taken] == [n for n in range(3) if n not in reasons]
    assert len(found.left_out) == len(reasons)
    for line, (number, reason) in zip(found.left_out, reasons.items(), strict=True):
        assert line.startswith(f"trial {number}: ") and reason in line


def test_equal_shares_count_a_source_too(old):
    equal = Recipe(
        parallel_size=500, mono_ratio=1.0, source_weights="equal", learning_rate=1e-3, **REST
    )
    write_record(old, make_record(0, recipe=equal))
    light = changed(EXTRA, weight=1e-9)
    left = earlier_run(old, bound_of(sources=(PAIRS, MONO, light, REPLAY))).left_out
    assert left == (
        "trial 0: source mono gave 500 examples there and gives 250 here, by the sources' weights "
        "(source_weights equal)",
    )


def test_a_trial_with_weights_of_its_own_fits_where_the_mix_is_the_same(tmp_path):
    bind(tmp_path, study_of(sources=(PAIRS, MONO, EXTRA, REPLAY)), SPACE)
    for number, extra in enumerate((0.0, 0.2)):
        weights = {"weight.mono": 1 - extra, "weight.extra": extra}
        recipe = Recipe(parallel_size=500, mono_ratio=1.0, learning_rate=1e-3, **REST)
        write_record(tmp_path, make_record(number, recipe=recipe.with_values(weights)))
    found = earlier_run(tmp_path, bound_of(sources=(PAIRS, MONO, REPLAY)))
    assert [(t.record.number, t.record.recipe.weights) for t in found.taken] == [(0, {})]
    (left,) = found.left_out
    assert left.startswith("trial 1: source mono gave 400 examples there and gives 500 here")


def test_a_mix_with_a_source_that_gives_nothing_is_the_same_mix():
    def share(source, count):
        return SourceShare(source=source, kind="mono", requested=count, realised=count,
                           available=9, tokens=count, repeats=0)  # fmt: skip

    before = Mix(shares=(share("a", 3),))
    assert compared(before, Mix(shares=(share("a", 3), share("b", 0)))).difference is None
    assert compared(Mix(shares=(share("a", 3), share("b", 0))), before).difference is None
    assert compared(before, Mix(shares=(share("a", 3), share("b", 1)))).difference.source == "b"


def test_a_narrower_range_and_a_new_fixed_value_name_what_is_left_out(old):
    narrow = Space(
        parameters={**SPACE.parameters, "mono_ratio": FloatRange(type="float", low=0.5, high=1)},
        fixed=SPACE.fixed,
    )
    found = earlier_run(old, bound_of(narrow, sources=(PAIRS, MONO, REPLAY)))
    assert [t.record.number for t in found.taken] == [0, 2]
    assert found.left_out == ("trial 1: mono_ratio 0 is not within 0.5 to 1",)


def test_a_refusal_names_all_that_stands_in_the_way(old):
    with pytest.raises(RunError) as refused:
        earlier_run(
            old, bound_of(training=Training(epochs=2), model="other", sources=(PAIRS, MONO))
        )
    said = str(refused.value)
    for key in ("study.model = ", "study.training.epochs = 1, now it is 2", "study.sources.chat"):
        assert key in said
    assert said.endswith("leave out --from to train anew")


def test_another_objective_that_was_recorded_comes_along(tmp_path):
    old_run(tmp_path / "old")
    objectives = {"bleu.en-uk": "max", "retention": "max"}
    found = earlier_run(tmp_path / "old", bound_of(objectives=objectives))
    assert found.taken and all(list(t.record.objectives) == list(objectives) for t in found.taken)
    (tmp_path / "new").mkdir()
    study = study_of(objectives=objectives)
    bind(tmp_path / "new", study, SPACE)
    ledger = Ledger(tmp_path / "new", study, SPACE, found.taken)
    told = [t.values for t in ledger._study.trials() if t.values]
    assert told == [
        [r.scores["bleu.en-uk"].value, r.objectives["retention"].value]
        for r in (t.record for t in found.taken)
    ]
    # a trial and its copy under another study are one: neither is taken over twice
    again = earlier_run(tmp_path / "new", bound_of())
    assert {t.known_by for t in again.taken} == {t.known_by for t in found.taken}
    run(tmp_path / "back", 1, [*earlier_run(tmp_path / "old", bound_of()).taken, *again.taken])
    back = {
        r.taken_from.number
        for r in map(read_record, (tmp_path / "back").rglob("result.json"))
        if r.taken_from
    }
    assert back == {t.record.number for t in found.taken}


MEASURED = Space(
    parameters={"parallel_size": IntRange(type="int", low=256, high=512)},
    fixed={"learning_rate": 1e-3},
)


@pytest.fixture
def sets(tmp_path, monkeypatch):
    write_sets(tmp_path)
    tabulate_comet(monkeypatch)
    return tmp_path


def less(sets, **changes):
    """The study without Spanish."""
    kept = {name: spec for name, spec in abilities_in(sets).items() if name != "spanish"}
    return study_in(sets, kept, **changes)


def test_trials_with_fewer_abilities_are_those_of_a_run_that_never_had_more(sets):
    old, new = sets / "old", sets / "new"
    old.mkdir(), new.mkdir()
    bind(old, study_in(sets), MEASURED)
    there = {r.number: r for r in measure_run(old, study_in(sets))}
    study = less(sets)
    expected = {r.number: r for r in measure_run(sets / "other", study)}
    found = earlier_run(old, BoundStudy(study, MEASURED, study.evaluation))
    assert [t.record.number for t in found.taken] == [0, 1] and not found.left_out
    bind(new, study, MEASURED)
    Ledger(new, study, MEASURED, found.taken)
    for number in (0, 1):
        copy = read_record(result_path(new, number))
        wanted = expected[copy.taken_from.number]
        assert copy.scores.keys() == wanted.scores.keys()
        for name, score in wanted.objectives.items():
            assert copy.objectives[name].value == pytest.approx(score.value, rel=1e-13)
            own, draws = (
                read_draws(sets / f, n, [name])
                for f, n in (("new", number), ("other", copy.taken_from.number))
            )
            np.testing.assert_allclose(own[name], draws[name], rtol=1e-6)
        assert read_record(result_path(old, number)) == there[number], "the old run stays"
    # the outputs of the ability that is gone are kept, and in nobody's way
    suite = build_suite(study, byte_level())
    file = trial_dir(new, 0) / OUTPUTS_FILE
    assert len(read_outputs(file, suite.requests, suite.parts)) == len(suite.requests)


def test_a_new_run_looks_for_leakage_where_the_earlier_one_did(tmp_path):
    """So an ability less, or other test segments, keep the sources' rows."""
    runs, leakage = tmp_path / "runs", {"filters": Filters()}
    run(runs / "old", 5, **leakage)
    tested = study_of().evaluation.quality[0].model_copy(update={"test": {"path": "t.tsv"}})
    evaluation = study_of().evaluation.model_copy(update={"quality": (tested,)})
    study = study_of(**leakage, evaluation=evaluation)
    bound = BoundStudy(study, SPACE, study.evaluation)
    with pytest.raises(RunError, match="leakage was checked against other texts"):
        earlier_run(runs / "old", bound)
    assert inheriting([], runs, runs / "new", bound) == bound
    mine = inheriting(["old"], runs, runs / "new", bound)
    assert mine.study == study and mine.evaluation == study_of().evaluation
    assert earlier_run(runs / "old", mine).taken
    (runs / "new").mkdir()
    bind(runs / "new", study, SPACE, mine.evaluation)
    assert read_bound(runs / "new") == mine
    # what a run is bound to stays
    assert inheriting(["old"], runs, runs / "new", bound) == bound
    bind(runs / "new", study, SPACE, study.evaluation)
    assert read_bound(runs / "new") == mine


def test_units_stay_those_of_the_trials_that_are_taken_over(sets):
    """One sentence in three languages is one unit; its key is that of the least of its texts, which
    may be of the ability that is gone."""
    rows = [{"en": f"z cab {i}", "es": f"a taxi {i}", "de": f"y wagen {i}"} for i in range(40)]
    for language in ("es", "de"):
        (sets / f"{language}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    tokenizer = byte_level()
    before, now = study_in(sets), less(sets)
    whole, fewer = (build_suite(study, tokenizer) for study in (before, now))
    suites = (whole, fewer, with_dropped_units(fewer, now, before.evaluation, tokenizer))
    german = [suite_units(s)[1][[a.name for a in s.abilities].index("german")] for s in suites]
    assert (german[0] != german[1]).all() and (german[0] == german[2]).all()
    assert with_dropped_units(fewer, now, now.evaluation, tokenizer) == fewer
