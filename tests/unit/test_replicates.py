"""Who is trained again, when, and that the journal remembers."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_factory import REFERENCES, SPACE, ledger_in, lucky_run, states_in, study_of, trials_in
from optuna.trial import TrialState
from records_factory import make_failed, make_record, make_study

from mtray.analysis.uncertainty import Z95
from mtray.report.export import read_front
from mtray.report.records import read_records, write_record
from mtray.run_files import BASE_NUMBER
from mtray.schema import Budget, Mix, Preference, Recipe, Source
from mtray.search.ledger.replicates import ReplicateChoice, least_sure, outermost
from mtray.search.strategy.reserved_trials import reserved_repeats
from mtray.search.strategy.samplers import STARTUP
from mtray.search_space.parameters import Choices
from mtray.search_space.space import Space
from mtray.trial.job import Job

ROLES = len(REFERENCES)  # baselines of the tests' study
FIRST = ROLES + STARTUP  # trials that every sweep begins with


def replicates(jobs):
    return [j for j in jobs if j.replicate]


@pytest.mark.parametrize(
    "total, share, count",
    [(1, 0.25, 0), (4, 0.25, 0), (10, 0.25, 0), (12, 0.25, 0), (14, 0.25, 2), (16, 0.25, 3),
     (20, 0.25, 5), (100, 0.25, 25), (100, 0.0, 0), (100, 0.07, 7), (30, 0.5, 10)],
)  # fmt: skip
def test_the_share_of_a_budget(total, share, count):
    assert reserved_repeats(total, share, 10) == count


@given(st.integers(1, 500), st.floats(0, 0.5), st.integers(0, 20))
def test_the_share_leaves_the_first_trials_and_half_of_the_rest(total, share, start):
    count = reserved_repeats(total, share, start)
    assert 0 <= count <= share * total + 1e-6
    assert count == 0 or total - count >= start + (total - start) / 2
    assert count != 1


def test_the_least_sure_is_taken():
    everyone = [True] * 4
    assert least_sure([0.0, 0.45, 1.0, 0.9], [1] * 4, everyone) == 1
    assert least_sure([0.0, 0.45, 1.0, 0.9], [1, 3, 1, 1], everyone) == 3, "fewer trials first"
    assert least_sure([0.0, 0.45, 1.0, 0.9], [1] * 4, [True, False, True, True]) == 3
    assert least_sure([0.3, 0.7, 1.0, 0.0], [1] * 4, everyone) == 1, "a tie goes to the likelier"
    assert least_sure([0.5], [1], [False]) is None


def test_where_all_are_sure_the_front_is_repeated_evenly():
    trained, picked = [1, 1, 1, 1], []
    for _ in range(6):
        index = least_sure([1.0, 0.0, 1.0, 1.0], trained, [True] * 4)
        picked.append(index)
        trained[index] += 1
    assert picked == [0, 2, 3, 0, 2, 3]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 9)), min_size=1, max_size=8))
def test_the_choice_is_one_of_the_most_unsure_for_its_count(points):
    chances, trained = map(list, zip(*points, strict=True))
    found = least_sure(chances, trained, [True] * len(points))
    gains = [p * (1 - p) / (k * (k + 1)) for p, k in points]
    assert gains[found] == pytest.approx(max(gains), abs=1e-11)


def test_the_outermost_points_are_whole_fronts():
    values = np.array([[3, 0], [2, 0], [0, 3], [1, 1], [0, 0], [0.5, 0.5]], dtype=float)
    assert outermost(values, 1).tolist() == [0, 2, 3]
    assert outermost(values, 4).tolist() == [0, 1, 2, 3, 5]
    assert outermost(values, 6).tolist() == outermost(values, 99).tolist() == list(range(6))
    assert outermost(values[:0], 5).tolist() == []


def test_the_end_of_the_budget_repeats_candidates_with_new_seeds(tmp_path):
    jobs = lucky_run(tmp_path, 20)
    assert [bool(j.replicate) for j in jobs] == [False] * 15 + [True] * 5
    by_number = {j.number: j for j in jobs}
    for job in replicates(jobs):
        original = by_number[job.of]
        assert (job.recipe, job.role) == (original.recipe, original.role)
        assert job.seed == original.seed + job.replicate == 1 + job.replicate
        assert job.draw.seed == original.draw.seed and job.draw != original.draw
    assert len({(j.of, j.replicate) for j in replicates(jobs)}) == 5
    front = read_front(tmp_path, study_of())
    assert sum(p.replicates - 1 for p in front.points) == 5
    dominated = {p.number for p in front.points if p.p_front < 0.01}
    assert not dominated & {j.of for j in replicates(jobs)[1:]}, "nobody who has no chance"


def test_with_a_preference_the_repeats_go_to_the_preferred_part(tmp_path):
    """The same trials; a floor of retention that few reach, and a weight for quality alone."""
    lucky_run(tmp_path, 15)
    trials = trials_in(tmp_path)
    records = {r.number: r for r in read_records(tmp_path).records}
    kept = max(r.objectives["retention"].value for r in records.values() if r.number >= 0) - 0.03
    picked = {
        name: ReplicateChoice(tmp_path, study_of(prefer=prefer)).pick(trials)
        for name, prefer in {
            "floor": {"retention": Preference(at_least=kept)},
            "quality": {"retention": Preference(weight=0)},
        }.items()
    }
    retention = {name: records[n].objectives["retention"].value for name, n in picked.items()}
    assert retention["floor"] > kept - 0.06 > retention["quality"]


def test_replicates_are_in_the_journal(tmp_path):
    jobs = lucky_run(tmp_path, 20)
    for job, trial in zip(jobs, trials_in(tmp_path), strict=True):
        assert trial.user_attrs.get("replicate", 0) == job.replicate
        assert trial.user_attrs.get("of") == job.of
        assert trial.params == trials_in(tmp_path)[job.number if job.of is None else job.of].params


def test_a_resumed_sweep_repeats_the_same(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    assert lucky_run(tmp_path / "a", 20) == lucky_run(tmp_path / "b", 20, reopen=True)


@pytest.mark.parametrize("total", [1, 3, 4, FIRST, FIRST + 2])
def test_a_tiny_budget_repeats_nothing(tmp_path, total):
    jobs = lucky_run(tmp_path, total)
    assert len(jobs) == total and not replicates(jobs)


def test_the_share_can_be_switched_off(tmp_path):
    assert not replicates(lucky_run(tmp_path, 20, budget=Budget(replicate_share=0, confirm=0)))


def test_an_extended_sweep_searches_on_and_repeats_near_its_own_end(tmp_path):
    before = lucky_run(tmp_path, 20)
    assert len(replicates(before)) == 5
    added = lucky_run(tmp_path, 40)
    assert [bool(j.replicate) for j in added] == [False] * 15 + [True] * 5
    assert states_in(tmp_path).count(TrialState.COMPLETE) == 40
    both = [(j.of, j.replicate) for j in [*replicates(before), *replicates(added)]]
    assert len(set(both)) == 10, "no seed twice"


def test_trials_at_once_are_not_all_given_to_one_recipe(tmp_path):
    lucky_run(tmp_path, 15, budget=Budget(replicate_share=0, confirm=0))
    ledger = ledger_in(tmp_path)
    jobs = [ledger.next(20) for _ in range(5)]
    assert all(j.replicate for j in jobs) and ledger.next(20) is None
    assert len({(j.of, j.replicate) for j in jobs}) == 5
    assert len({j.of for j in jobs}) > 1


def test_an_interrupted_replicate_comes_again_as_the_same(tmp_path):
    lucky_run(tmp_path, 16)
    ledger = ledger_in(tmp_path)
    jobs = [ledger.next(20) for _ in range(4)]
    again = ledger_in(tmp_path)
    assert [again.next(20) for _ in range(4)] == jobs


def test_a_recipe_whose_replicates_fail_is_not_picked_for_ever(tmp_path):
    lucky_run(tmp_path, 15, budget=Budget(replicate_share=0, confirm=0))
    ledger = ledger_in(tmp_path)
    jobs = []
    while (job := ledger.next(20)) is not None:
        jobs.append(job)
        write_record(tmp_path, make_failed(job.number))
        ledger.tell(job.number)
    assert len(jobs) == 5 and len({j.of for j in jobs}) > 1


def test_the_base_model_is_never_repeated_and_baselines_may_be(tmp_path):
    jobs = lucky_run(tmp_path, 60, budget=Budget(replicate_share=0.5, trials=2, confirm=0))
    assert BASE_NUMBER not in {j.of for j in jobs}
    assert {j.role for j in replicates(jobs)} > {"search"}


CHOICES = Space(
    parameters={
        "mono_ratio": Choices(type="categorical", choices=(0.0, 1.0)),
        "learning_rate": Choices(type="categorical", choices=(5e-4, 1e-3)),
    },
    fixed={"parallel_size": 500},
)


@pytest.mark.parametrize("reopen", [False, True])
def test_a_suggestion_that_repeats_a_recipe_becomes_its_replicate(tmp_path, reopen):
    alone = Budget(replicate_share=0, confirm=0)
    jobs = lucky_run(tmp_path, 14, reopen, space=CHOICES, budget=alone)
    searched = [j for j in jobs if not j.replicate]
    # the searched recipes that are no baseline's, and the baselines
    assert len({j.recipe for j in searched if j.role == "search"}) <= 2
    assert [j.role for j in jobs[:ROLES]] == [j.role for j in searched[:ROLES]]
    assert len(replicates(jobs)) >= 8
    for job in replicates(jobs):
        original = next(j for j in jobs if j.number == job.of)
        assert (original.recipe, original.role) == (job.recipe, job.role)
        assert job.of < job.number and original.replicate == 0
    assert len({(j.recipe, j.seed) for j in jobs if j.role == "search"}) == sum(
        j.role == "search" for j in jobs
    )
    assert len(read_front(tmp_path, study_of()).points) == len(searched) + 1


def test_the_front_is_told_apart_better_with_replicates(tmp_path):
    """Means over seeds are nearer to the truth than single trials, where it matters."""
    lucky_run(tmp_path, 40, budget=Budget(replicate_share=0.5, trials=2, confirm=0))
    records = [r for r in read_records(tmp_path).sound() if r.state == "complete"]
    assert sum(r.replicate > 0 for r in records) == 16
    front = read_front(tmp_path, study_of())
    deviation = front.objectives[0].seed_deviation
    assert deviation == pytest.approx(0.02, rel=0.4)
    for point in front.points:
        if point.role != "base":
            half = point.objectives["quality"].high - point.objectives["quality"].value
            assert half > Z95 * 0.6 * deviation / point.replicates**0.5


def test_the_sampler_sees_replicates_as_further_points(tmp_path):
    lucky_run(tmp_path, 20)
    assert ledger_in(tmp_path)._suggester.finished == 20


def test_the_space_of_the_tests_has_as_many_baselines_as_they_say(tmp_path):
    jobs = lucky_run(tmp_path, FIRST, space=SPACE)
    assert sum(j.role != "search" for j in jobs) == ROLES


def test_replicates_of_the_largest_recipe_draw_from_the_whole_source(tmp_path, monkeypatch):
    """What they share is what chance has it of 200 rows of 2,000: 20 +- 4."""
    from mtray import preparation
    from mtray.data.mixing import plan
    from mtray.data.store import select

    path = tmp_path / "pairs.tsv"
    path.write_text("en\tuk\n" + "\n".join(f"a{i}\tb{i}" for i in range(2000)))
    sources = (Source(name="pairs", kind="parallel", path=str(path), languages=("en", "uk")),)
    study, recipe = make_study(sources=sources), Recipe(parallel_size=200)
    suite = SimpleNamespace(requests=(), directions=(), abilities=())
    monkeypatch.setattr("mtray.evaluation.suite.build_suite", lambda *_: suite)
    monkeypatch.setattr("mtray.evaluation.score_names.check_measured", lambda *_: None)
    monkeypatch.setattr("mtray.data.special_token_notes.special_token_notes", lambda *_: [])
    space = Space(parameters={}, fixed={"parallel_size": 200})
    store = preparation.prepare(study, space).store
    parts = plan(recipe, sources)
    mixes = [
        select(store, parts, False, Job(9, "search", recipe, study.seed + k, k, 4).draw)[1]
        for k in range(6)
    ]
    first, *others = [mix.shares[0] for mix in mixes]
    assert (first.held, first.shared) == (2000, 0)
    assert all(8 <= share.shared <= 34 for share in others), [s.shared for s in others]


def test_a_rerun_of_a_replicate_draws_what_it_drew(tmp_path):
    from tiny_models import byte_level

    from mtray.data.mixing import plan
    from mtray.data.store import build_store, select
    from mtray.retrain import build_sources, recorded_held

    path = tmp_path / "pairs.tsv"
    path.write_text(
        "en\tuk\n" + "\n".join(f"a{'b' * (i % 9)}\t{'c' * (i // 9)}d" for i in range(90))
    )
    sources = (Source(name="pairs", kind="parallel", path=str(path), languages=("en", "uk")),)
    study, tokenizer = make_study(sources=sources), byte_level()
    job = Job(9, "search", Recipe(parallel_size=20), study.seed + 2, replicate=2, of=4)
    parts = plan(job.recipe, study.sources)
    store = build_store(study, tokenizer, {"pairs": 30})
    drawn, mix = select(store, parts, False, job.draw)
    record = make_record(9).model_copy(update={"mix": mix})
    held = recorded_held(record)
    assert held == {"pairs": 30}
    old = mix.shares[0].model_copy(update={"held": 0})
    assert recorded_held(record.model_copy(update={"mix": Mix(shares=(old,))})) == {}
    again, _ = select(build_sources(study, job, held, tokenizer), parts, False, job.draw)
    assert [ids.tolist() for ids, _ in again] == [ids.tolist() for ids, _ in drawn]
    other = select(build_sources(study, job, {"pairs": 31}, tokenizer), parts, False, job.draw)[0]
    assert [ids.tolist() for ids, _ in other] != [ids.tolist() for ids, _ in drawn]
