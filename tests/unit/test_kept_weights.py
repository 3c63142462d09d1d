"""Weights that trials of the front keep: which stay, and that they are the model."""

from types import SimpleNamespace

import pytest
import torch
from records_factory import make_failed, make_record, make_study
from tiny_models import byte_level, llama

from mtray.errors import RunError
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Request
from mtray.report.records import write_record
from mtray.run_files import ANY_WEIGHTS_FILE, WEIGHTS_FILE, trial_dir, weights_file
from mtray.schema import Mix, Recipe, Training
from mtray.search.ledger.kept_model import kept_outcome, kept_weights
from mtray.search.ledger.kept_weights import FrontWeights, drop_dominated, trained_on_front
from mtray.search.ledger.record_family import pending
from mtray.training.reversion import InitialWeights
from mtray.training.trainable_weights import load_trainable, save_trainable

KEEPS = make_study(training=Training(keep_weights="front"))


def recipe(size, **changes):
    return Recipe(parallel_size=size, **changes)


RECORDS = [
    make_record(0, 0.6, 0.6, recipe=recipe(100)),  # dominated by 1
    make_record(1, 0.7, 0.7, recipe=recipe(200)),
    make_record(2, 0.4, 0.5, recipe=recipe(300)),  # dominated, but not at alpha 0.5
    make_record(3, 0.66, 0.68, recipe=recipe(200), replicate=1, of=1, seed=2),
    make_record(1_000_002, 0.3, 0.95, recipe=recipe(300, reversion_alpha=0.5), trained_as=2),
    make_record(2_000_003, 0.2, 0.97, recipe=recipe(200, stop_after=0.25), trained_as=3),
    make_record(3_000_003, 0.1, 0.1, recipe=recipe(200, stop_after=0.75), trained_as=3),
    make_failed(5),
]
QUARTER, LATER = weights_file(0.25), weights_file(0.75)


def test_what_is_behind_a_point_of_the_front_stays():
    assert trained_on_front(RECORDS, KEEPS) == {
        (1, WEIGHTS_FILE),
        (2, WEIGHTS_FILE),
        (3, WEIGHTS_FILE),
        (3, QUARTER),
    }
    assert trained_on_front([], KEEPS) == set()


def test_dominated_ones_go_and_those_that_run_stay(tmp_path):
    for record in RECORDS:
        write_record(tmp_path, record)
    for number in (0, 1, 2, 3, 5, 9):
        trial_dir(tmp_path, number).mkdir(parents=True, exist_ok=True)
        (trial_dir(tmp_path, number) / WEIGHTS_FILE).write_bytes(b"x")
    for number, name in ((3, QUARTER), (3, LATER), (5, QUARTER), (9, QUARTER)):
        (trial_dir(tmp_path, number) / name).write_bytes(b"x")
    drop_dominated(tmp_path, make_study())
    drop_dominated(tmp_path, make_study(training=Training(keep_weights="all")))
    assert len(list(tmp_path.glob(f"trials/*/{ANY_WEIGHTS_FILE}"))) == 10
    drop_dominated(tmp_path, KEEPS)
    left = {(int(f.parent.name), f.name) for f in tmp_path.glob(f"trials/*/{ANY_WEIGHTS_FILE}")}
    on_front = {(1, WEIGHTS_FILE), (2, WEIGHTS_FILE), (3, WEIGHTS_FILE), (3, QUARTER)}
    assert left == on_front | {(9, WEIGHTS_FILE), (9, QUARTER)}, "9 has no record yet"
    assert kept_weights(tmp_path, RECORDS[1]) == trial_dir(tmp_path, 1) / WEIGHTS_FILE
    assert kept_weights(tmp_path, RECORDS[4]) == trial_dir(tmp_path, 2) / WEIGHTS_FILE
    assert kept_weights(tmp_path, RECORDS[0]) is None
    assert kept_weights(tmp_path, RECORDS[5]) == trial_dir(tmp_path, 3) / QUARTER
    assert kept_weights(tmp_path, RECORDS[6]) is None, "never those of the whole training"
    # a recipe that goes part of the way back itself keeps no weights to begin from
    write_record(tmp_path, make_record(2, 0.4, 0.5, recipe=recipe(300, reversion_alpha=0.75)))
    assert kept_weights(tmp_path, RECORDS[4]) is None


def test_those_of_a_trial_whose_other_alphas_are_not_written_yet_stay(tmp_path):
    for record in RECORDS[:4]:
        write_record(tmp_path, record)
    pending(tmp_path, 2).write_text("[]")
    for number in (0, 2):
        (trial_dir(tmp_path, number) / WEIGHTS_FILE).write_bytes(b"x")
    drop_dominated(tmp_path, KEEPS)
    assert [file.parent.name for file in tmp_path.glob(f"trials/*/{WEIGHTS_FILE}")] == ["0002"]


def trained(seed=5):
    """A tiny model as if it had been trained, and where it began; block 0 is frozen."""
    model, origin = llama(byte_level()), InitialWeights()
    model.model.layers[0].requires_grad_(False)
    origin.take(model)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))
    return model, origin


def test_only_what_moved_is_kept_and_it_is_the_model(tmp_path):
    model, _ = trained()
    save_trainable(model, tmp_path / "0001" / WEIGHTS_FILE)
    assert [file.name for file in (tmp_path / "0001").iterdir()] == [WEIGHTS_FILE]
    again = llama(byte_level())
    again.model.layers[0].requires_grad_(False)
    load_trainable(again, tmp_path / "0001" / WEIGHTS_FILE)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )
    with pytest.raises(RunError, match="other weights than those that the trial's recipe trains"):
        load_trainable(llama(byte_level()), tmp_path / "0001" / WEIGHTS_FILE)
    (tmp_path / "0001" / WEIGHTS_FILE).write_bytes(b"cut")
    with pytest.raises(RunError, match="not a readable file of weights"):
        load_trainable(again, tmp_path / "0001" / WEIGHTS_FILE)


@pytest.mark.parametrize("alpha, stop_after", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.25)])
def test_the_kept_model_answers_as_the_trained_one(tmp_path, alpha, stop_after):
    """Also at another alpha, whose training is the trial's, and after a part of the steps."""
    tokenizer = byte_level()
    llama(tokenizer).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    model, origin = trained()
    save_trainable(model, tmp_path / WEIGHTS_FILE)
    requests = [Request(p, None, 12) for p in ("a bad cab ->", "dad ->", "fed a bee ->")]
    with origin.at(model, alpha):
        expected = [o.text for o in run_requests(model, tokenizer, requests)]
    study = make_study(model=str(tmp_path / "base"), training=Training(precision="fp32"))
    record = SimpleNamespace(
        seed=1,
        mix=Mix(),
        training=None,
        trained_as=None if alpha == stop_after == 1 else 4,
        recipe=Recipe(
            parallel_size=9, frozen_layers=1, reversion_alpha=alpha, stop_after=stop_after
        ),
    )
    used = []
    outcome = kept_outcome(
        tmp_path / WEIGHTS_FILE, record, study, requests, lambda module, tok: used.append(module)
    )
    assert [o.text for o in outcome.outputs] == expected and len(used) == 1
    assert (outcome.mix, outcome.training) == (record.mix, record.training)


def test_records_added_one_by_one_leave_the_same_weights_as_all_at_once(tmp_path):
    """The front after every trial decides; what is dominated by then is gone for good."""
    weights = FrontWeights(tmp_path, KEEPS)
    for record in RECORDS:
        write_record(tmp_path, record)
        if record.trained_as is None:
            (trial_dir(tmp_path, record.number) / WEIGHTS_FILE).write_bytes(b"x")
    (trial_dir(tmp_path, 3) / QUARTER).write_bytes(b"x")
    families = ([RECORDS[0]], [RECORDS[2], RECORDS[4]], [RECORDS[1]], [RECORDS[3], *RECORDS[5:7]],
                [RECORDS[7]])  # fmt: skip
    known = []
    for family in families:
        weights.add(family)
        known += family
        kept = trained_on_front(known, KEEPS)
        ended = {r.number for r in known}
        left = {(int(f.parent.name), f.name) for f in tmp_path.glob(f"trials/*/{ANY_WEIGHTS_FILE}")}
        assert {pair for pair in left if pair[0] in ended} == kept
    assert kept == trained_on_front(RECORDS, KEEPS)
