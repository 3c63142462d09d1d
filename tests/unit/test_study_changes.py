"""What differs between two studies, what each difference needs, and a refusal that names all."""

import pytest
from ledger_factory import SOURCES, SPACE, study_of
from records_factory import make_record
from warmstart_factory import narrow

from mtray.errors import RunError
from mtray.report.records import write_record
from mtray.run_files import WEIGHTS_FILE, trial_dir
from mtray.schema import (
    AbilitySpec,
    Budget,
    EarlyStopping,
    Filters,
    Limit,
    Preference,
    QualitySet,
    Resources,
    Source,
    Training,
)
from mtray.search.ledger.run_folder import bind, load_bound
from mtray.search.ledger.study_changes import (
    FREE,
    Need,
    content,
    how_to_go_on,
    is_beyond,
    study_changes,
    text_changes,
)
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space

ANIMACY = AbilitySpec(measure="choice", path="a.jsonl")
IDIOMS = AbilitySpec(measure="idioms", path="i.tsv")
TASK = AbilitySpec.model_validate({"measure": "lm_eval", "task": "arc"})
EXTRA = Source(name="extra", kind="mono", path="e.txt", languages=("en",))


def evaluated(**changes):
    evaluation = study_of().evaluation
    return study_of(evaluation=evaluation.model_copy(update=changes))


def abilities(**specs):
    return evaluated(abilities=specs)


def with_floor(value):
    return TASK.model_copy(update={"floor": value})


def sourced(*sources):
    return study_of(sources=sources)


def changed(source, **changes):
    return source.model_copy(update=changes)


PAIRS, MONO = SOURCES
TWO = abilities(animacy=ANIMACY, idioms=IDIOMS)
QUALITY = study_of().evaluation.quality[0]
FRENCH = QualitySet(direction="en-fr", path="f.tsv")
CASES = [
    (study_of(), study_of(budget=Budget(trials=3), resources=Resources(workers=2)), {}),
    (study_of(), study_of(training=Training(keep_weights="front")), {}),
    (study_of(), evaluated(quality=(changed(QUALITY, test={"path": "t.tsv"}),)), {}),
    (study_of(), evaluated(metrics=("bleu", "chrf", "chrf++")), {"evaluation.metrics": "nothing"}),
    (study_of(), evaluated(more_comet={"kiwi": "a"}), {"evaluation.more_comet.kiwi": "nothing"}),
    (evaluated(more_comet={"kiwi": "a"}), evaluated(more_comet={"kiwi": "b"}),
     {"evaluation.more_comet.kiwi": "measure"}),
    (study_of(), evaluated(more_metrics={"own": ("a",)}),
     {"evaluation.more_metrics.own": "nothing"}),
    (evaluated(more_metrics={"own": ("a",)}), evaluated(more_metrics={"own": ("a", "b")}),
     {"evaluation.more_metrics.own": "measure"}),
    (study_of(), evaluated(batch_tokens=64), {"evaluation.batch_tokens": "nothing"}),
    (TWO, abilities(animacy=ANIMACY), {"evaluation.abilities.idioms": "recompute"}),
    (abilities(animacy=ANIMACY), TWO, {"evaluation.abilities.idioms": "measure"}),
    (TWO, abilities(idioms=IDIOMS, animacy=ANIMACY), {}),
    (TWO, abilities(animacy=changed(ANIMACY, weight=2.0), idioms=IDIOMS),
     {"evaluation.abilities.animacy.weight": "recompute"}),
    (TWO, abilities(animacy=changed(ANIMACY, path="b.jsonl"), idioms=IDIOMS),
     {"evaluation.abilities.animacy.path": "measure"}),
    (abilities(arc=TASK), abilities(arc=with_floor(0.3)),
     {"evaluation.abilities.arc.floor": "recompute"}),
    (abilities(arc=with_floor(0.3)), abilities(arc=TASK),
     {"evaluation.abilities.arc.floor": "measure"}),
    (study_of(), evaluated(quality=(QUALITY, FRENCH)), {"evaluation.quality.en-fr": "measure"}),
    (evaluated(quality=(QUALITY, FRENCH)), evaluated(quality=(FRENCH, QUALITY)), {}),
    (study_of(), evaluated(bootstrap=500), {"evaluation.bootstrap": "measure"}),
    (study_of(), evaluated(comet_long="sliding"), {"evaluation.comet_long": "measure"}),
    (study_of(), evaluated(comet="none", metrics=("chrf",)),
     {"evaluation.comet": "measure", "evaluation.metrics": "nothing"}),
    (study_of(), evaluated(sample_seed=3), {"evaluation.sample_seed": "measure"}),
    (evaluated(quality=(QUALITY, FRENCH)), study_of(), {"evaluation.quality.en-fr": "measure"}),
    (study_of(), evaluated(quality=(changed(QUALITY, size=9),)),
     {"evaluation.quality.en-uk.size": "measure"}),
    (study_of(), evaluated(beams=4, max_new_tokens=9),
     {"evaluation.beams": "answer", "evaluation.max_new_tokens": "answer"}),
    (study_of(), evaluated(reversion=(0.5,)), {"evaluation.reversion": "answer"}),
    (study_of(), study_of(objectives={"chrf.en-uk": "max", "retention": "max"}),
     {"objectives": "recompute"}),
    (study_of(), study_of(objectives={"retention": "max", "quality": "max"}),
     {"objectives": "recompute"}),
    (study_of(), study_of(constraints={"retention": Limit(at_least=0.5)}),
     {"constraints.retention": "recompute"}),
    (study_of(), study_of(prefer={"retention": Preference(at_least=0.9)}),
     {"prefer.retention": "nothing"}),
    (study_of(), study_of(seed=2, name="other"), {"name": "search", "seed": "search"}),
    (study_of(), study_of(sampler="tpe"), {"sampler": "search"}),
    (study_of(), study_of(early_stopping=EarlyStopping(rungs=(0.2, 0.5))),
     {"early_stopping": "search"}),
    (study_of(), sourced(PAIRS, EXTRA, MONO), {"sources.extra": "fit"}),
    (study_of(), sourced(PAIRS), {"sources.mono": "fit"}),
    (study_of(), sourced(PAIRS, changed(MONO, weight=2.0)), {"sources.mono.weight": "fit"}),
    (study_of(), sourced(PAIRS, changed(MONO, licence="CC0")), {"sources.mono.licence": "nothing"}),
    (study_of(), sourced(MONO, PAIRS), {"sources": "train"}),
    (study_of(), study_of(model="other", filters=Filters(identical=True, leakage=None,
     shots_leakage=None)), {"model": "train", "filters.identical": "train"}),
    (study_of(), study_of(training=Training(epochs=2)), {"training.epochs": "train"}),
]  # fmt: skip


@pytest.mark.parametrize("before, now, expected", CASES)
def test_every_difference_and_what_it_needs(before, now, expected):
    found = study_changes(content(before), content(now))
    assert {c.key.removeprefix("study."): c.needs for c in found} == expected


def test_every_kind_of_need_has_a_case():
    assert {need for *_, found in CASES for need in found.values()} == set(Need)
    assert set(FREE) == {"budget", "resources"}


WIDE = FloatRange(type="float", low=0, high=3)


def test_a_space_is_compared_by_parameter():
    fixed = Space(parameters=SPACE.parameters, fixed={"replay_fraction": 0.2})
    for space, keys in (
        (narrow(mono_ratio=WIDE), ["space.parameters.mono_ratio.high"]),
        (fixed, ["space.fixed.replay_fraction"]),
    ):
        found = study_changes(content(study_of(), SPACE), content(study_of(), space))
        assert [(c.key, c.needs) for c in found] == [(key, Need.FIT) for key in keys]


REFUSED = [
    (study_of(seed=2, objectives={"retention": "max", "quality": "max"}), "--from mine, which"),
    (study_of(seed=2, training=Training(epochs=2)), "--name to train anew"),
    (evaluated(beams=4, max_new_tokens=9), "--name to train anew"),
    (evaluated(quality=(QUALITY, FRENCH), comet="other"), "--from mine, which"),
]


@pytest.mark.parametrize("study, advice", REFUSED)
def test_a_refusal_names_every_change_and_the_command_that_goes_on(tmp_path, study, advice):
    run_dir = tmp_path / "mine"
    run_dir.mkdir()
    bind(run_dir, study_of(), SPACE)
    space = narrow(mono_ratio=WIDE)
    changes = study_changes(content(study_of(), SPACE), content(study, space))
    with pytest.raises(RunError) as refused:
        bind(run_dir, study, space)
    said = str(refused.value)
    assert len(changes) == 3 and all(change.text in said for change in changes)
    assert said.endswith(how_to_go_on("mine", changes)) and advice in said
    assert load_bound(run_dir) == (study_of(), SPACE), "a refusal leaves the run as it was"


def test_what_changes_no_trial_is_taken_without_a_word(tmp_path):
    bind(tmp_path, study_of(), SPACE)
    later = evaluated(metrics=("bleu",), batch_tokens=64)
    bind(tmp_path, later, SPACE)
    assert load_bound(tmp_path)[0] == later


def test_texts_that_leakage_is_looked_for_in():
    """Test segments and whole abilities change them; weights do not."""
    tested = evaluated(quality=(changed(QUALITY, test={"path": "t.tsv"}),))
    weighed = abilities(animacy=changed(ANIMACY, weight=2.0))
    keys = [
        [c.key.removeprefix("study.evaluation.") for c in text_changes(a.evaluation, b.evaluation)]
        for a, b in ((study_of(), tested), (study_of(), weighed), (TWO, study_of()))
    ]
    assert keys == [["quality.en-uk.test.path"], [], ["abilities.idioms"]]


def test_a_long_value_is_cut():
    (found,) = study_changes(content(study_of()), content(sourced(PAIRS, EXTRA, MONO)))
    assert found.text.startswith("study.sources.extra was not set, now it is {'") and " ...: " in (
        found.text
    )
    assert not is_beyond([found], [Need.FIT]) and is_beyond([found], [Need.TRAIN])


def test_another_generation_says_which_trials_can_be_asked(tmp_path):
    bind(tmp_path, study_of(), SPACE)
    for number in range(3):
        write_record(tmp_path, make_record(number))
    (trial_dir(tmp_path, 1) / WEIGHTS_FILE).touch()
    with pytest.raises(RunError) as refused:
        bind(tmp_path, evaluated(beams=4), SPACE)
    assert str(refused.value).splitlines()[-2:] == [
        f"  weights are kept of trial 1, as a model to ask by `python -m mtray export {tmp_path} "
        "--model 1 OUT`",
        "  trials 0, 2 would have to be trained again to answer",
    ]
    with pytest.raises(RunError) as refused:
        bind(tmp_path, evaluated(beams=4).model_copy(update={"model": "other"}), SPACE)
    assert str(refused.value).endswith("--name to train anew")
