"""What only a record says is said wherever people look: each case is a record, and every output
holds its sentence."""

import json
import shutil
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from records_factory import (
    make_baselines,
    make_failed,
    make_record,
    make_rung,
    make_score,
    make_study,
    with_left_out,
)
from rich.console import Console

from mtray.cli import main
from mtray.commands.rerun import side_by_side
from mtray.report.abilities import (
    ability_sentences,
    ability_sets,
    between_sides,
    common_retention,
    common_sentence,
    with_common,
)
from mtray.report.export import export_front
from mtray.report.front import Front
from mtray.report.front_builder import build_front
from mtray.report.model_card import model_card
from mtray.report.omissions import omissions, run_notes
from mtray.report.records import write_record
from mtray.schema import Budget, Mix, Recipe, Score, SourceShare, TrainingRecord
from mtray.search.execution import session
from mtray.search.execution.console import LiveTable
from mtray.search.ledger.run_folder import bind
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space

SPACE = Space(
    parameters={"mono_ratio": FloatRange(type="float", low=0, high=2)}, fixed={"parallel_size": 9}
)
WHY = "the base model's 12 is not above the floor 11 by 2 standard errors of 1: nothing to keep"
SENTENCE = (
    "Retention is the weighted mean over 1 of 2 abilities: animacy. "
    f"Left out: spanish, since {WHY}."
)


def records_of(change):
    """A run with a searched trial, every record changed."""
    return [change(record) for record in (*make_baselines(), make_record(2, 0.66, 0.7))]


def folder_of(records, tmp_path):
    folder = tmp_path / "runs" / "mine"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    bind(folder, make_study(budget=Budget(trials=9)), SPACE)
    for record in records:
        write_record(folder, record)
    return folder


def log_of(records, tmp_path, capsys):
    out = StringIO()
    watch = LiveTable(Console(file=out, width=40), 9, 0, 1)
    watch.ended(records[0])
    return out.getvalue()


def log_at_a_restart(records, tmp_path, capsys):
    out, folder = StringIO(), folder_of(records, tmp_path)
    study = make_study(budget=Budget(trials=9))
    prepared = SimpleNamespace(
        suite=None, study=study, space=SPACE, taken=(), first=None, store={"pairs": range(9000)}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "_with_ray", lambda *_: 0)
        patch.setattr(session, "finish", lambda *_: 0)
        patch.setattr(session, "check_data", lambda *_: None)
        assert session.run_session(prepared, folder, None, Console(file=out), 0.0) == 0
    return out.getvalue()


def command(name):
    def printed(records, tmp_path, capsys):
        assert main([name, str(folder_of(records, tmp_path))]) == 0
        return capsys.readouterr().out

    return printed


def exported(ending):
    def read(records, tmp_path, capsys):
        files = export_front(folder_of(records, tmp_path), make_study()).files
        return files[ending].read_text()

    return read


def card_of(records, tmp_path, capsys):
    return model_card(records[-1], make_study(), "my-run", "model", "")


def rerun_of(records, tmp_path, capsys):
    return "\n".join(side_by_side(records[-1], records[-1]))


OUTPUTS = {
    "the log after the base model": log_of,
    "the log at a restart": log_at_a_restart,
    "status": command("status"),
    "front": command("front"),
    "front.json": exported("json"),
    "the page": exported("html"),
    "the card of a model": card_of,
    "rerun": rerun_of,
}


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=list(OUTPUTS))
def test_every_output_says_what_retention_leaves_out_and_why(output, tmp_path, capsys):
    records = records_of(lambda r: with_left_out(r, spanish=WHY))
    assert output(records, tmp_path, capsys).count(SENTENCE) == 1


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=list(OUTPUTS))
def test_nothing_is_said_to_be_left_out_where_nothing_is(output, tmp_path, capsys):
    assert "Left out" not in output(records_of(lambda r: r), tmp_path, capsys)


def test_the_front_holds_what_retention_is_made_of():
    records = records_of(lambda r: with_left_out(r, spanish=WHY))
    front = build_front(records, make_study(), Path("run"))
    (found,) = front.abilities
    assert (found.kept, found.left_out, found.trials) == (
        ("animacy",), {"spanish": WHY}, (-1, 0, 1, 2),
    )  # fmt: skip
    assert Front.model_validate(json.loads(front.model_dump_json())) == front
    whole = build_front(make_baselines(), make_study(), Path("run"))
    labels = [built.objectives[1].label for built in (front, whole)]
    assert labels == [
        "retention: share of 1 of 2 abilities kept, higher is better",
        "retention: share of abilities kept, higher is better",
    ]


def test_trials_that_disagree_are_named():
    def more(record):
        scores = record.scores | {"retention.spanish": make_score(0.9)}
        return record.model_copy(update={"scores": scores})

    records = [with_left_out(r, spanish=WHY) for r in make_baselines()]
    records.append(more(make_record(2, 0.66, 0.7)))
    said = run_notes(records)
    assert said[0] == SENTENCE
    assert said[1] == (
        "Trials disagree on the abilities that retention averages, so it is not comparable between "
        "them (trials base, 0, 1: animacy; trial 2: animacy, spanish)."
    )
    assert set(said[:2]) <= set(build_front(records, make_study(), Path("run")).notes)


def test_without_retention_there_is_no_word_of_it():
    bare = make_record(2, scores={"comet.en-uk": make_score(0.5)})
    assert ability_sets([bare]) == () and ability_sentences(()) == ()
    worst = {"retention.worst": make_score(0.5), "retention.mean": make_score(0.5)}
    assert ability_sets([bare.model_copy(update={"scores": worst})]) == ()


def kept(*names, **left_out):
    scores = {f"retention.{name}": make_score(0.5) for name in names}
    return ability_sets([with_left_out(make_record(2, scores=scores), **left_out)])


SIDES = {
    "the same": (kept("a", "b"), kept("a", "b"), ""),
    "fewer on test": (
        kept("a", "b"), kept("a", b="it is weak"),
        "Retention on dev and on test average different abilities and are not comparable: on dev "
        "it is the weighted mean over a, b; on test it is the weighted mean over a, "
        "without b, since it is weak. | `retention.common` is the weighted mean over the "
        "abilities that both have: a.",
    ),
    "none in common": (
        kept("b", a="it is weak"), kept("a", b="it is weak"),
        "Retention on dev and on test average different abilities and are not comparable: on dev "
        "it is the weighted mean over b, without a, since it is weak; on test it is the "
        "weighted mean over a, without b, since it is weak. | No ability is in both, so there "
        "is no comparable retention.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("dev", "test", "sentence"), SIDES.values(), ids=list(SIDES))
def test_dev_and_test_that_average_other_abilities(dev, test, sentence):
    said = between_sides(dev, test)
    assert " | ".join([*said, common_sentence(dev, test)] if said else []) == sentence


def test_retention_over_common_abilities_by_hand():
    scores = {
        "retention.a": Score(value=0.8, low=0.7, high=0.9, n=10, signature="x"),
        "retention.b": Score(value=0.6, low=0.4, high=0.7, n=20, signature="x"),
        "retention.c": Score(value=0.1, low=0.0, high=0.2, n=5, signature="x"),
    }
    weights = {"a": 1.0, "b": 3.0, "c": 9.0}
    found = common_retention(scores, ["a", "b"], weights, {})
    assert found.value == pytest.approx(0.65) and found.n == 30
    assert found.low == pytest.approx(0.65 - (0.025**2 + 0.15**2) ** 0.5)
    assert found.high == pytest.approx(0.65 + (0.025**2 + 0.075**2) ** 0.5)
    # draws 0 to 1 of a, and of b those less .2: their mean, 0 to 1 less .15
    line = np.linspace(0, 1, 1001)
    drawn = {"retention.a": line, "retention.b": line - 0.2}
    found = common_retention(scores, ["a", "b"], weights, drawn)
    assert (found.value, found.low, found.high) == pytest.approx((0.65, -0.125, 0.825))
    half = common_retention(scores, ["a", "b"], weights, {"retention.a": line})
    assert half.low == pytest.approx(0.65 - (0.025**2 + 0.15**2) ** 0.5), "draws of one alone"
    whole = Score(value=1.0, low=1.0, high=1.0, n=10, signature="x")
    weights = {"a": 0.1, "b": 0.7, "c": 0.3}
    exact = common_retention(dict.fromkeys(scores, whole), ["a", "b", "c"], weights, {})
    assert (exact.value, exact.low, exact.high) == (1.0, 1.0, 1.0)
    without = make_record(2)
    assert with_common([without], ["a"], weights, lambda *_: {}) == [without]


def count(part, **counts):
    return lambda r: r.model_copy(update={"counts": {part: counts}})


def extra(**values):
    return lambda r: r.model_copy(update={"extra": values}) if r.number == 2 else r


def lost(*attempts):
    return [{"reason_class": c, "reason": "x", "then": then} for c, then in attempts]


def rungs(*found):
    return lambda r: r.model_copy(update={"rungs": found}) if r.number == 2 else r


def long_examples(record):
    share = SourceShare(
        source="pairs", kind="parallel", requested=5, realised=5, available=900, tokens=9,
        repeats=0.1, dropped=100,
    )  # fmt: skip
    return record.model_copy(update={"mix": Mix(shares=(share,))} if record.number >= 0 else {})


def trained_in(precision_of):
    def change(record):
        if record.number < 0:
            return record
        training = TrainingRecord(
            steps=1, tokens=1, tokens_per_second=1.0, trainable_parameters=1, total_parameters=1,
            accumulated_learning_rate=0.1, precision=precision_of(record.number), loss=((1, 1.0),),
        )  # fmt: skip
        return record.model_copy(update={"training": training})

    return change


def signed(name, signature_of):
    def change(record):
        score = make_score(20, signature=signature_of(record.number))
        return record.model_copy(update={"scores": {**record.scores, name: score}})

    return change


def coded(code_of):
    return lambda r: r.model_copy(update={"versions": {**r.versions, **code_of(r.number)}})


def unread(record):
    """Each trial has another number of truncated segments; the base model's is not known."""
    cut = {-1: None, 0: 2, 1: 0, 2: 3}[record.number]
    score = make_score(0.7).model_copy(update={"truncated": cut})
    return record.model_copy(update={"scores": {**record.scores, "comet.en-uk": score}})


def in_parts(record):
    """Each trial has another number of segments that were scored in parts."""
    ways = {0: {"lines": 1}, 1: {}, 2: {"lines": 1, "sentences": 4}}.get(record.number, {})
    score = make_score(0.7).model_copy(update={"divided": ways})
    return record.model_copy(update={"scores": {**record.scores, "comet.en-uk": score}})


def shorter_baseline(record):
    if record.role != "mono_one_to_one":
        return record
    return record.model_copy(update={"recipe": Recipe(parallel_size=800, mono_ratio=1.0)})


CASES = {
    "too long": (
        long_examples,
        "Examples over `max_length` tokens, left out of every mix: 100 of 1,000 of pairs.",
    ),
    "articles": (
        count("news", articles_cut=12.0, segments=100.0),
        "Articles cut to `max_article_tokens`: 12 of 100 of news.",
    ),
    "answers cut off": (
        lambda r: count("quality.en-uk", truncated=3.0 + r.number, segments=200.0)(r),
        "Answers cut off at `max_new_tokens`, in the trial with the most: 5 of 200 in "
        "quality.en-uk (trial 2).",
    ),
    "segments longer than the metric reads": (
        unread,
        "Segments longer than the metric reads, of which it scored the beginning alone "
        "(`evaluation.comet_long` scores them in parts), in the trial with the most: 3 in "
        "comet.en-uk (trial 2).",
    ),
    "segments scored in parts": (
        in_parts,
        "Segments longer than the metric reads, which were scored in parts, in the trial with the "
        "most: 5 in comet.en-uk: 1 by lines, 4 by sentences (trial 2).",
    ),
    "answers of a harness cut off": (
        count("mmlu", truncated=7.0, requests=50.0, documents=10.0),
        "Answers cut off at `max_new_tokens`, in the trial with the most: 7 of 50 in mmlu (the "
        "base model).",
    ),
    "off target": (
        count("failures.en-xx", **{"strict.empty": 0.0, "strict.copy": 1.0}),
        "Answers in another language (`off_target`) are not detected, since the detector does "
        "not know the target language, for: en-xx.",
    ),
    "characters": (
        signed("bleu.en-ja", lambda _: "BLEU|nrefs:1|tok:char|smooth:exp"),
        "BLEU over characters, since MeCab is not installed: bleu.en-ja.",
    ),
    "retention at rungs": (
        rungs(make_rung(0.5, 0.9, left_out=("spanish", "few"))),
        "At rungs, on a part of the segments, retention also leaves out: spanish; few.",
    ),
    "a rung that was not measured": (
        rungs(make_rung(0.5, 0.9).model_copy(
            update={"objectives": {}, "decision": "not measured: RunError: gone"})),
        "Rungs that were not measured, so the trial went on: rung 2 of trial 2 (RunError: gone).",
    ),
    "a shorter baseline": (
        shorter_baseline,
        "Baselines with fewer pairs, since a source is too small: mono_one_to_one 800, "
        "parallel_only 2,000.",
    ),
    "attempts": (
        extra(attempts=lost(("out_of_memory", "again at half the micro-batch"))),
        "More than one attempt: trial 2 (out of memory, again at half the micro-batch).",
    ),
    "a checkpoint": (
        extra(checkpoint="begun anew: it is of another recipe"),
        "Trained from the first step, since the checkpoint could not be used: trial 2 (it is of "
        "another recipe).",
    ),
    "a divergence": (
        extra(divergence="not recorded: inf at alpha 0.5"),
        "KL divergence from the base model not recorded: trial 2 (inf at alpha 0.5).",
    ),
    "precisions": (
        trained_in(lambda number: "bf16" if number == 2 else "fp32"),
        "Trained in different precisions, which `precision: auto` chose: fp32 (trials 0, 1); bf16 "
        "(trial 2).",
    ),
    "attention": (
        extra(attention="eager, since sdpa leaves out a cap"),
        "Attention: eager, since sdpa leaves out a cap.",
    ),
    "code": (
        coded(lambda number: {} if number < 0 else {"code": "b" if number == 2 else "a"}),
        "Made by different versions of mtray's code, so comparable only where its changes do not "
        "affect them: an earlier version (trial base); code a (trials 0, 1); code b (trial 2).",
    ),
    "signatures": (
        signed("kiwi.en-uk", lambda number: f"kiwi|{number == 2}"),
        "Not measured in the same way in all trials, so not comparable between them: kiwi.en-uk.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), CASES.values(), ids=list(CASES))
def test_each_is_said_once_by_front_and_status(change, sentence, tmp_path, capsys):
    records = records_of(change)
    assert omissions(records) == (sentence,)
    for name in ("front", "status"):
        assert command(name)(records, tmp_path, capsys).count(f"note: {sentence}") == 1


def test_nothing_is_said_where_all_went_as_asked_for():
    assert run_notes(records_of(lambda r: r)) == ()
    few = count("quality.en-uk", truncated=1.0, segments=200.0)
    same = rungs(make_rung(0.5, 0.9, left_out=("spanish",)))
    records = [with_left_out(few(same(r)), spanish=WHY) for r in records_of(lambda r: r)]
    assert run_notes(records) == (SENTENCE,), "half a per cent; and left out of the whole, too"


def test_one_code_is_no_mixture_whether_recorded_or_not():
    records = records_of(coded(lambda number: {"code": "a"}))
    assert run_notes(records) == run_notes(records_of(lambda r: r)) == ()
    # what failed has no values
    failed = make_failed(3).model_copy(update={"versions": {"code": "b"}})
    assert omissions([*records, failed]) == ()


def test_long_lists_are_cut_and_counted():
    attempts = {"attempts": lost(("worker_lost", "again from the first step"))}
    records = [make_record(n).model_copy(update={"extra": attempts}) for n in range(8)]
    (said,) = omissions(records)
    assert said.count("worker lost") == 5 and said.endswith("; and 3 more.")


def test_what_failed_and_what_shares_a_training_says_its_attempts_once():
    attempts = {"attempts": lost(("node_lost", "again from its checkpoint after step 5"))}
    failed = make_failed(3).model_copy(update={"extra": attempts})
    half = make_record(1_000_002, trained_as=2).model_copy(update={"extra": attempts})
    assert omissions([failed, half]) == (
        "More than one attempt: trial 3 (node lost, again from its checkpoint after step 5).",
    )


def test_the_log_says_which_attempts_failed():
    out = StringIO()
    attempts = lost(("out_of_memory", "again at half the micro-batch"))
    LiveTable(Console(file=out), 9, 0, 1).ended(extra(attempts=attempts)(make_record(2)))
    said = "trial 2 (attempts before: out of memory, again at half the micro-batch) quality 0.6"
    assert said in out.getvalue() and "Retention is" not in out.getvalue()
