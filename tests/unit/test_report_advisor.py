"""What the answer of a run asks the search for."""

import pytest
from records_factory import make_study
from surface_factory import SPACE, make_run, write_made_up

from mtray.report.bootstrap_draws import draws_of
from mtray.report.posterior import posterior_of
from mtray.schema import Budget, Limit
from mtray.search.ledger.report_advisor import report_advisor
from mtray.search.strategy.advice import Proposal

NO_UNTRIED = {"retention": Limit(at_least=0.0)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Its folder and its records."""
    made = make_run(10, noise=0.006, seed=1)
    return write_made_up(tmp_path_factory.mktemp("runs") / "a", made), made.records


def test_a_recipe_that_is_predicted_to_be_worth_more_is_confirmed(run):
    folder, records = run
    found = report_advisor(folder, make_study(), SPACE).recommend(records)
    assert found is not None
    assert found.repeats_of is None
    assert found.params.keys() == SPACE.parameters.keys()
    recipe = SPACE.recipe(found.params)
    assert recipe not in [record.recipe for record in records]
    believed = posterior_of(records, make_study(), SPACE, draws_of(folder))
    assert recipe == believed.untried[0]


def test_what_may_not_be_tried_is_not_proposed(run):
    folder, records = run
    free = report_advisor(folder, make_study(), SPACE).recommend(records)
    bound = report_advisor(folder, make_study(), SPACE, lambda params: params != free.params)
    other = bound.recommend(records)
    assert other is not None
    assert other.params != free.params


def test_without_one_the_recommended_recipe_is_trained_again(run):
    folder, records = run
    study = make_study(constraints=NO_UNTRIED)
    believed = posterior_of(records, study, SPACE, draws_of(folder))
    found = report_advisor(folder, study, SPACE).recommend(records)
    assert found is not None
    best, rival = (believed.numbers[i] for i in (believed.choice.best, believed.choice.rival))
    assert found.repeats_of == (best if best >= 0 else rival)


def test_the_repeat_that_settles_is_of_the_recommended_recipe_or_its_rival(run):
    folder, records = run
    study = make_study(budget=Budget(trials=13, settle=0.999), constraints=NO_UNTRIED)
    advice = report_advisor(folder, study, SPACE)
    believed = posterior_of(records, study, SPACE, draws_of(folder))
    pair = [believed.numbers[i] for i in (believed.choice.best, believed.choice.rival)]
    first = advice.settle(records, [])
    assert first is not None
    assert first.repeats_of in pair
    assert "with probability" in first.why
    # one that runs counts as a seed: next is the other one's turn
    second = advice.settle(records, [first])
    trained = [number for number in pair if number >= 0]
    assert second is not None
    assert second.repeats_of == (trained[0] if first.repeats_of == trained[-1] else trained[-1])


def test_a_settled_answer_asks_for_nothing(tmp_path):
    made = make_run(10, noise=0.0002, seed=1)
    folder = write_made_up(tmp_path / "a", made)
    study = make_study(budget=Budget(trials=13, settle=0.6))
    assert posterior_of(made.records, study, SPACE, draws_of(folder)).choice.probability >= 0.6
    assert report_advisor(folder, study, SPACE).settle(made.records, []) is None


def test_nothing_is_asked_before_a_recipe_is_measured(run):
    folder, records = run
    advice = report_advisor(folder, make_study(), SPACE)
    assert advice.recommend(records[:1]) is None
    assert advice.settle(records[:1], []) is None


def test_the_same_records_ask_for_the_same(run):
    folder, records = run
    advice = report_advisor(folder, make_study(), SPACE)
    assert advice.recommend(records) == advice.recommend(list(reversed(records)))
    assert isinstance(advice.recommend(records), Proposal)
