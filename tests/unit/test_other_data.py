"""A training that would draw other examples than its record says is refused, with what has
changed."""

import re
from dataclasses import replace

import pytest
from bound_run import (
    JOBS,
    PLAIN,
    SPACE,
    again,
    drawn,
    record,
    save_model,
    start,
    study_in,
    without_training,
    write_files,
)

from mtray.cli import main
from mtray.errors import RunError
from mtray.preparation import prepare
from mtray.schema import Mix, Origin, Recipe
from mtray.search.ledger.data_check import check_data


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def commands(monkeypatch):
    return without_training(monkeypatch)


def change_file(folder, model, run_dir, monkeypatch):
    path = folder / "pairs.tsv"
    path.write_text(path.read_text() + "a bad cab fed dad\tbad bee dab ace fade\n")


def change_lines(folder, model, run_dir, monkeypatch):
    """No count changes by this."""
    path = folder / "mono.txt"
    first, second, *rest = path.read_text().splitlines()
    path.write_text("\n".join([second, first, *rest]) + "\n")


def change_dev(folder, model, run_dir, monkeypatch):
    lines = (folder / "pairs.tsv").read_text().splitlines()
    path = folder / "dev.tsv"
    path.write_text(path.read_text() + "\n".join(lines[100:130]) + "\n")


def change_tokenizer(folder, model, run_dir, monkeypatch):
    from mtray.training import models

    load = models.load_tokenizer

    def changed(*arguments):
        tokenizer = load(*arguments)
        tokenizer.add_tokens(["bad cab"])
        return tokenizer

    monkeypatch.setattr(models, "load_tokenizer", changed)


def change_order(folder, model, run_dir, monkeypatch):
    """As another numpy might."""
    from mtray.data import tables

    order = tables.source_order
    monkeypatch.setattr(tables, "source_order", lambda seed, *rest: order(seed + 1, *rest))


ALL_OF_MONO = replace(PLAIN, recipe=Recipe(parallel_size=19, mono_ratio=8.0))
CHANGES = [
    (change_file, PLAIN, "source 'pairs': available was 197 and is 198 now; changed since: the "
                         "content of its file"),
    (change_lines, ALL_OF_MONO, r"source 'mono': digest was \w{32} and is \w{32} now; changed "
                                "since: the content of its file"),
    (change_dev, PLAIN, "source 'pairs': available was 197 and is 167 now; changed since: .*"
                        "evaluation texts of the leakage check"),
    (change_tokenizer, PLAIN, r"source 'pairs': (tokens|digest) was \w+ and is \w+ now; "
                              "changed since: the tokenizer"),
    (change_order, PLAIN, r"source 'pairs': (tokens|digest) was \w+ and is \w+ now; its "
                          "token store is the same one, so another numpy or"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "job", "message"), CHANGES)
def test_other_data_are_refused_before_the_training(
    tmp_path, model, commands, monkeypatch, capsys, change, job, message
):
    write_files(tmp_path)
    run_dir = tmp_path / "run"
    record(run_dir, job, start(run_dir, study_in(tmp_path, model), job).mix)
    start(run_dir, study_in(tmp_path, model, True), job)
    change(tmp_path, model, run_dir, monkeypatch)
    for command in ("rerun", "export", "test"):
        assert again(command, run_dir, tmp_path) == 2, command
        said = capsys.readouterr().err
        assert re.search("trial 0 cannot be trained again as it was: " + message, said), said
        assert "restore what has changed" in said and "mtray rerun RUN 0 --seed N" in said
        assert 0 not in commands and "Traceback" not in said
    assert main(["rerun", str(run_dir), "0", "--seed", "7"]) == 0, "another draw on purpose"
    assert main(["rerun", str(run_dir), "0", "--seed", "1"]) == 2, "the same draw by its seed"


def test_a_source_that_has_too_few_left_is_another_one(tmp_path, model, commands, capsys):
    write_files(tmp_path)
    run_dir, path = tmp_path / "run", tmp_path / "pairs.tsv"
    record(run_dir, PLAIN, start(run_dir, study_in(tmp_path, model), PLAIN).mix)
    path.write_text("\n".join(path.read_text().splitlines()[:13]) + "\n")
    assert again("rerun", run_dir, tmp_path) == 2
    said = capsys.readouterr().err
    assert "source 'pairs': available was 197 and is 10 now; changed since: the content of" in said


RECORDED = {
    "kind": "replay", "requested": 24.5, "requested_tokens": 9.5, "realised": 23, "few_shot": 1,
    "available": 196, "tokens": 7, "digest": "0" * 32,
}  # fmt: skip


def with_share(mix, **changes):
    """The mix with another share of its first source."""
    first, *rest = mix.shares
    return Mix(shares=(first.model_copy(update=changes), *rest))


@pytest.mark.parametrize(("key", "value"), RECORDED.items())
def test_every_key_of_a_share_counts(tmp_path, model, commands, capsys, key, value):
    write_files(tmp_path)
    run_dir = tmp_path / "run"
    expected = start(run_dir, study_in(tmp_path, model), PLAIN)
    now = getattr(expected.mix.shares[0], key)
    record(run_dir, PLAIN, with_share(expected.mix, **{key: value}))
    assert again("rerun", run_dir, tmp_path) == 2
    now = f"{now:g}" if isinstance(now, float) else now
    assert f"source 'pairs': {key} was {value} and is {now} now" in capsys.readouterr().err


def test_a_replicate_draws_from_as_much_as_was_held(tmp_path, model, commands, capsys):
    write_files(tmp_path)
    run_dir, (job, _) = tmp_path / "run", JOBS["replicate"]
    expected = start(run_dir, study_in(tmp_path, model), job)
    for held, code in ((expected.mix.shares[0].held, 0), (47, 2), (198, 2)):
        record(run_dir, job, with_share(expected.mix, held=held))
        assert again("rerun", run_dir, tmp_path) == code
    assert "source 'pairs': held was 198 and is 197 now" in capsys.readouterr().err


@pytest.mark.parametrize("share", [{"source": "gone"}, None])
def test_another_source_is_another_mix(tmp_path, model, commands, capsys, share):
    write_files(tmp_path)
    run_dir = tmp_path / "run"
    mix = start(run_dir, study_in(tmp_path, model), PLAIN).mix
    mix = with_share(mix, **share) if share else Mix(shares=mix.shares[1:])
    record(run_dir, PLAIN, mix)
    assert again("rerun", run_dir, tmp_path) == 2
    assert "in the mix" in capsys.readouterr().err


def other_code(monkeypatch):
    from mtray.data import pipeline

    monkeypatch.setattr(pipeline, "code_hash", lambda folder: "another version of mtray")


def test_the_same_tokens_by_other_code_are_the_same_training(
    tmp_path, model, commands, monkeypatch, capsys
):
    write_files(tmp_path)
    run_dir = tmp_path / "run"
    expected = start(run_dir, study_in(tmp_path, model, True), PLAIN)
    record(run_dir, PLAIN, expected.mix)
    other_code(monkeypatch)
    for command in ("rerun", "export", "test"):
        assert again(command, run_dir, tmp_path) == 0
        trained, store, job = commands.pop(0)
        found = drawn(trained, store, job)
        assert found.ids == expected.ids
        assert found.mix.shares[0].store_key != expected.mix.shares[0].store_key
        assert (
            "source pairs: the tokens drawn are the same as recorded, but from another token "
            "store; changed since: mtray's code"
        ) in capsys.readouterr().out


def without_digests(mix):
    return Mix(shares=tuple(share.model_copy(update={"digest": ""}) for share in mix.shares))


def test_a_record_of_an_older_version_is_compared_by_its_counts(
    tmp_path, model, commands, monkeypatch, capsys
):
    write_files(tmp_path)
    run_dir = tmp_path / "run"
    expected = start(run_dir, study_in(tmp_path, model), PLAIN)
    record(run_dir, PLAIN, without_digests(expected.mix))
    other_code(monkeypatch)
    assert again("rerun", run_dir, tmp_path) == 0
    said = capsys.readouterr().out
    assert "without digests of the draw, so only the counts of pairs, mono were compared" in said
    assert "all counts are the same as recorded" in said
    # the old store is still there to say what changed
    change_lines(tmp_path, model, run_dir, monkeypatch)
    shares = [s.model_copy(update={"tokens": 0}) for s in expected.mix.shares]
    mix = without_digests(Mix(shares=tuple(shares)))
    assert mix.shares[1].store_key == expected.mix.shares[1].store_key
    capsys.readouterr()
    assert again("rerun", run_dir, tmp_path) == 2
    assert "the content of its file" in capsys.readouterr().err


def test_a_record_without_a_mix_is_said_to_have_none(tmp_path, model, commands, capsys):
    write_files(tmp_path)
    run_dir = tmp_path / "run"
    start(run_dir, study_in(tmp_path, model), PLAIN)
    failed = {"state": "failed", "objectives": {}, "scores": {}, "reason": "killed"}
    record(run_dir, PLAIN, Mix(), **failed)
    assert again("rerun", run_dir, tmp_path) == 0
    assert "note: the record has no mix" in capsys.readouterr().out


def test_of_a_source_that_gives_nothing_the_file_does_not_matter(
    tmp_path, model, commands, monkeypatch
):
    write_files(tmp_path)
    run_dir = tmp_path / "run"
    job = replace(PLAIN, recipe=PLAIN.recipe.model_copy(update={"mono_ratio": 0.0}))
    expected = start(run_dir, study_in(tmp_path, model), job)
    record(run_dir, job, expected.mix)
    path = tmp_path / "mono.txt"
    path.write_text(path.read_text() + "a bad cab fed dad\n")
    assert again("rerun", run_dir, tmp_path) == 0


RESUMED = [change_file, change_dev, change_tokenizer, change_order]


@pytest.mark.parametrize("change", RESUMED)
def test_a_run_goes_on_with_its_own_data_only(tmp_path, model, monkeypatch, change):
    write_files(tmp_path)
    run_dir, study = tmp_path / "run", study_in(tmp_path, model)
    record(run_dir, PLAIN, start(run_dir, study, PLAIN).mix)
    check_data(run_dir, study, prepare(study, SPACE).store)
    change(tmp_path, model, run_dir, monkeypatch)
    store = prepare(study, SPACE).store
    with pytest.raises(RunError, match="run 'run': trial 0 was trained on other data than"):
        check_data(run_dir, study, store)


def test_every_source_is_looked_at_by_some_trial(tmp_path, model):
    """Also where its first trials do not draw from it; replicates and what was taken over do not
    tell."""
    write_files(tmp_path)
    run_dir, study = tmp_path / "run", study_in(tmp_path, model)
    pairs = replace(PLAIN, recipe=Recipe(parallel_size=24))
    record(run_dir, pairs, start(run_dir, study, pairs).mix)
    replicate, _ = JOBS["replicate"]
    replicate = replace(replicate, number=1)
    record(run_dir, replicate, start(run_dir, study, replicate).mix)
    change_lines(tmp_path, model, run_dir, None)
    check_data(run_dir, study, prepare(study, SPACE).store)
    last = replace(ALL_OF_MONO, number=2)
    mix = start(run_dir, study, last).mix
    origin = Origin(run="elsewhere", number=7)
    record(run_dir, last, with_share(mix, tokens=1), taken_from=origin)
    check_data(run_dir, study, prepare(study, SPACE).store)
    record(run_dir, last, mix)
    check_data(run_dir, study, prepare(study, SPACE).store)
    record(
        run_dir,
        last,
        Mix(
            shares=(
                mix.shares[0],
                with_share(Mix(shares=mix.shares[1:]), digest="0" * 32).shares[0],
            )
        ),
    )
    with pytest.raises(RunError, match=f"source 'mono': digest was {'0' * 32} and is"):
        check_data(run_dir, study, prepare(study, SPACE).store)


def test_how_much_was_held_matters_to_replicates_only(tmp_path, model):
    write_files(tmp_path)
    run_dir, study = tmp_path / "run", study_in(tmp_path, model)
    record(run_dir, PLAIN, with_share(start(run_dir, study, PLAIN).mix, held=31))
    check_data(run_dir, study, prepare(study, SPACE).store)
