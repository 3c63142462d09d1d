"""The whole evaluation on tabulated outputs and a tabulated COMET."""

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from fresh_process import modules_after
from records_factory import make_record
from tiny_models import byte_level

from mtray.analysis.retention import MOST
from mtray.errors import ConfigError, EvaluationError, RunError
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.metrics.output_failures import STRICT
from mtray.evaluation.output_files import read_outputs, write_outputs
from mtray.evaluation.scoring import suite_units
from mtray.evaluation.suite import build_suite
from mtray.report.abilities import ability_sentences, ability_sets
from mtray.schema import Study

SEGMENTS = 40


class LengthComet:
    """0.01 for every character of the hypothesis."""

    signature = "length"

    def scores(self, sources, hypotheses, references):
        return np.array([len(h) / 100 for h in hypotheses])


def load_comet(name):
    assert name == "tabulated"
    return LengthComet()


@pytest.fixture
def study(tmp_path):
    """One direction; two abilities, `modelling` of weight 3 and `spanish`."""
    rows = [
        {"en": f"a bad cab {i}", "es": f"un mal taxi {i}", "uk": f"таксі {i}"}
        for i in range(SEGMENTS)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in rows))
    mono = tmp_path / "mono.jsonl"
    mono.write_text("\n".join(json.dumps({"text": r["en"]}) for r in rows))
    return {
        "name": "small",
        "sources": [{"name": "p", "kind": "parallel", "path": "x", "languages": ["en", "uk"]}],
        "evaluation": {
            "comet": "tabulated",
            "quality": [{"direction": "en-uk", "path": str(path), "size": SEGMENTS}],
            "abilities": {
                "spanish": {
                    "measure": "translation",
                    "path": str(path),
                    "direction": "en-es",
                    "size": SEGMENTS,
                },
                "modelling": {
                    "measure": "perplexity",
                    "path": str(mono),
                    "language": "en",
                    "weight": 3,
                    "size": SEGMENTS,
                },
            },
        },
    }


def suite_of(study):
    return build_suite(Study.model_validate(study), byte_level())


def outputs(suite, hypothesis, share, bits):
    """`hypothesis` for every quality segment; the reference for the first `share` of Spanish and
    the source for the others; `bits` per character."""
    found = [Output(hypothesis, -1.0, 3) for _ in suite.directions[0].requests]
    spanish, modelling = suite.abilities
    for i, (source, reference) in enumerate(zip(spanish.sources, spanish.references, strict=True)):
        found.append(Output(reference if i < share * SEGMENTS else source, -1.0, 3))
    for i, request in enumerate(modelling.requests):
        nats = -bits * math.log(2) * len(request.target)
        found.append(Output(request.target, nats * (1 + 0.01 * (i % 3 - 1)), 5))
    return found


def test_requests_and_parts(study):
    suite = suite_of(study)
    assert len(suite.requests) == len(suite.parts) == 3 * SEGMENTS
    assert suite.requests[0].prompt == "English: a bad cab 0\nUkrainian:"
    assert suite.parts[::SEGMENTS] == ["quality.en-uk", "spanish", "modelling"]
    assert pickle.loads(pickle.dumps(suite)) == suite


def test_retention_by_hand(study):
    suite = suite_of(study)
    spanish, modelling = suite.abilities
    base = outputs(suite, "таксі", 1.0, 0.1)
    tuned = outputs(suite, "таксі!", 0.5, 0.4)
    result = suite.score(tuned, base, 200, 0, load_comet)
    assert set(result.scores) == {
        "comet.en-uk", "bleu.en-uk", "chrf.en-uk", "spanish", "modelling",
        "retention.spanish", "retention.modelling", "retention.worst",
        *(f"failures.{kind}.en-uk" for kind in (*STRICT, "any")),
    }  # fmt: skip
    assert set(result.objectives) == {"quality", "retention"}
    assert result.objectives["quality"].value == pytest.approx(0.06)
    bits = result.scores["modelling"].value
    assert bits == pytest.approx(-0.4, rel=0.01)
    base_bits = suite.score(base, None, 200, 0, load_comet).scores["modelling"].value
    kept_bits = (bits - modelling.floor) / (base_bits - modelling.floor)
    kept_spanish = (result.scores["spanish"].value - spanish.floor) / (100 - spanish.floor)
    assert 0 < kept_spanish < 1
    assert result.scores["retention.modelling"].value == pytest.approx(kept_bits)
    assert result.scores["retention.spanish"].value == pytest.approx(kept_spanish)
    expected = (kept_spanish + 3 * kept_bits) / 4
    assert result.objectives["retention"].value == pytest.approx(expected)
    assert result.scores["retention.worst"].value == pytest.approx(min(kept_bits, kept_spanish))
    assert result.left_out == {}
    assert result.counts["spanish"]["copied"] == SEGMENTS / 2
    assert result.counts["quality.en-uk"]["segments"] == SEGMENTS


def test_the_base_model_keeps_all(study):
    suite = suite_of(study)
    base = outputs(suite, "таксі", 1.0, 0.1)
    alone = suite.score(base, None, 200, 0, load_comet)
    for name in ("retention.spanish", "retention.modelling", "retention.worst"):
        assert alone.scores[name].value == 1.0
        assert (alone.scores[name].low, alone.scores[name].high) == (1.0, 1.0)
    twice = suite.score(base, base, 200, 0, load_comet)
    assert (alone.objectives, alone.scores) == (twice.objectives, twice.scores)
    for name, draws in alone.draws.items():
        assert draws.shape == (200,)
        assert (draws == twice.draws[name]).all()


def test_every_score_has_the_draws_of_its_interval_paired_between_models(study):
    objectives = {"chrf.en-uk": "max", "spanish": "max", "failures.copy.en-uk": "min"}
    suite = suite_of(study | {"objectives": objectives})
    base, tuned = outputs(suite, "таксі", 0.5, 0.4), outputs(suite, "таксі!", 0.5, 0.4)
    before = suite.score(base, None, 200, 0, load_comet)
    after = suite.score(tuned, base, 200, 0, load_comet)
    assert after.draws.keys() == after.scores.keys() | after.objectives.keys()
    for name in ("quality", "chrf.en-uk", "spanish", "retention.modelling"):
        found = (after.scores | after.objectives)[name]
        low, high = np.quantile(after.draws[name], [0.025, 0.975])
        assert (found.low, found.high) == pytest.approx((low, min(high, found.most or high)))
    # half the Spanish answers are copies in both, so what a resample has of them cancels out
    assert after.scores["spanish"].high - after.scores["spanish"].low > 1
    assert (after.draws["spanish"] == before.draws["spanish"]).all()


def test_better_than_the_base_model_counts_for_at_most_half_as_much_again(study):
    suite = suite_of(study)
    base, tuned = outputs(suite, "таксі", 0.5, 0.4), outputs(suite, "таксі", 1.0, 0.1)
    found = suite.score(tuned, base, 200, 0, load_comet)
    assert found.objectives["retention"].value == found.scores["retention.worst"].value == MOST
    slightly = outputs(suite, "таксі", 0.6, 0.4)
    kept = suite.score(slightly, base, 200, 0, load_comet).scores["retention.spanish"]
    assert 1.1 < kept.value < 1.3 and kept.high > kept.value, "a small gain is no noise to be cut"


def test_an_ability_the_base_model_lacks_is_left_out_with_the_reason(study):
    suite = suite_of(study)
    base, tuned = outputs(suite, "таксі", 0.0, 0.1), outputs(suite, "таксі", 1.0, 0.1)
    result = suite.score(tuned, base, 200, 0, load_comet)
    assert list(result.left_out) == ["spanish"]
    assert "not above the floor" in result.left_out["spanish"]
    assert "retention.spanish" not in result.scores
    assert "spanish" in result.scores
    assert result.objectives["retention"].value == 1.0
    record = make_record(2, scores=result.scores, extra={"left_out": result.left_out})
    (sentence,) = ability_sentences(ability_sets([record]))
    assert sentence.startswith("Retention is the weighted mean over 1 of 2 abilities: modelling. ")
    assert sentence.endswith(f"Left out: spanish, since {result.left_out['spanish']}.")
    nothing = outputs(suite, "таксі", 0.0, 50.0)
    with pytest.raises(EvaluationError, match=r"none of the abilities.*`objectives`"):
        suite.score(tuned, nothing, 200, 0, load_comet)
    # where nothing asks for retention, abilities are measured without it
    free = replace(suite, objectives=("quality",)).score(tuned, nothing, 200, 0, load_comet)
    assert "retention" not in free.objectives and "spanish" in free.scores
    assert set(free.left_out) == {"spanish", "modelling"}


def test_quality_is_the_mean_over_directions(study):
    path = study["evaluation"]["quality"][0]["path"]
    study["evaluation"]["quality"].append({"direction": "uk-en", "path": path, "size": 20})
    suite = suite_of(study)
    found = [Output("x" * 10, -1.0, 1)] * SEGMENTS + [Output("x" * 30, -1.0, 1)] * 20
    found += outputs(suite, "", 1.0, 0.1)[SEGMENTS:]
    result = suite.score(found, None, 200, 0, load_comet)
    assert result.scores["comet.en-uk"].value == pytest.approx(0.1)
    assert result.scores["comet.uk-en"].value == pytest.approx(0.3)
    # directions count alike, however many segments they have
    assert result.objectives["quality"].value == pytest.approx(0.2)
    # of the same pairs, both ways
    assert result.objectives["quality"].n == SEGMENTS


def test_failures_stand_beside_quality(study):
    """Of forty outputs ten are copies, ten empty, ten a loop and ten translations."""
    suite = suite_of(study)
    good = suite.directions[0].references
    wrong = [lambda i: f"a bad cab {i}", lambda i: "", lambda i: "таксі " * 8, lambda i: good[i]]
    texts = [wrong[i % 4](i) for i in range(SEGMENTS)]
    rest = outputs(suite, "", 1.0, 0.1)[SEGMENTS:]
    result = suite.score([Output(t, -1.0, 1) for t in texts] + rest, None, 200, 0, load_comet)
    shares = {k: result.scores[f"failures.{k}.en-uk"].value for k in (*STRICT, "any")}
    assert shares["any"] == 0.75
    assert shares["copy"] == shares["empty"] == shares["oscillation"] == 0.25
    assert shares["over_translation"] == 0.25 and shares["under_translation"] == 0
    found = result.scores["failures.copy.en-uk"]
    assert 0 < found.low < 0.25 < found.high and found.n == SEGMENTS
    counts = result.counts["failures.en-uk"]
    assert counts["strict.copy"] == counts["strict.first.copy"] == 10
    assert counts["strict.over_translation"] == 10
    assert counts["strict.first.over_translation"] == 0


def test_what_sets_share_is_resampled_together(study):
    """Both directions of one file, and an ability that reads it: a segment's unit is the same in
    all of them; held-out text that is the source of a pair is of its unit."""
    path = study["evaluation"]["quality"][0]["path"]
    study["evaluation"]["quality"].append({"direction": "uk-en", "path": path, "size": SEGMENTS})
    suite = suite_of(study)
    directions, abilities = suite_units(suite)
    assert len(set(directions[0].tolist())) == SEGMENTS
    for keys in (directions[1], *abilities):
        np.testing.assert_array_equal(keys, directions[0])


def test_samples_for_people(study):
    suite = suite_of(study)
    samples = suite.sample(outputs(suite, "таксі", 1.0, 0.1), 2)
    assert [tuple(s) for s in samples] == [
        ("en-uk", "a bad cab 0", "таксі", "таксі 0"),
        ("en-uk", "a bad cab 20", "таксі", "таксі 20"),
    ]


def test_outputs_on_disk(study, tmp_path):
    suite = suite_of(study)
    found = outputs(suite, "таксі", 1.0, 0.1)
    path = tmp_path / "trials" / "0001" / "outputs.parquet"
    write_outputs(path, suite.parts, suite.requests, found)
    assert [p.name for p in path.parent.iterdir()] == ["outputs.parquet"]
    assert read_outputs(path, suite.requests) == found
    with pytest.raises(RunError, match="120 outputs, but the study asks 119"):
        read_outputs(path, suite.requests[1:])
    with pytest.raises(RunError, match="was asked"):
        read_outputs(path, suite.requests[::-1])
    path.write_bytes(b"PAR1 half a file")
    with pytest.raises(RunError, match="not a readable file"):
        read_outputs(path, suite.requests)


@pytest.mark.parametrize(
    "name", ["mean", "worst", "common", "retention.x", "failures.copy", "comet.en-uk"]
)
def test_names_that_are_taken(study, name):
    abilities = study["evaluation"]["abilities"]
    abilities[name] = abilities.pop("spanish")
    with pytest.raises(ConfigError, match="is already taken; choose another name"):
        suite_of(study)


def test_a_direction_stands_once(study):
    study["evaluation"]["quality"] *= 2
    with pytest.raises(ConfigError, match="direction twice"):
        suite_of(study)


def test_the_number_of_outputs_must_fit(study):
    suite = suite_of(study)
    with pytest.raises(EvaluationError, match="120 requests but 1 outputs"):
        suite.score([Output("a", -1.0, 1)], None, 200, 0, load_comet)


def test_importing_the_suite_is_light():
    heavy = {"torch", "transformers", "comet", "ray"}
    assert not heavy & modules_after("import mtray.evaluation.suite, mtray.evaluation.output_files")


def test_a_part_is_spread_over_every_set_and_known_from_the_whole(study):
    suite = suite_of(study)
    part = suite.part(0.25)
    assert [len(p.requests) for p in (*part.directions, *part.abilities)] == [10, 10, 10]
    assert part.directions[0].sources == [f"a bad cab {i}" for i in range(0, 40, 4)]
    assert part.requests == suite.part(0.25).requests
    assert [a.floor for a in part.abilities] == [a.floor for a in suite.abilities]
    whole = [Output(str(i), -float(i) - 1, 3) for i in range(len(suite.requests))]
    chosen = suite.outputs_of(part, whole)
    assert [o.text for o in chosen[:10]] == [str(i) for i in range(0, 40, 4)]
    assert [suite.requests[int(o.text)] for o in chosen] == part.requests
    whole = suite.part(1.0)
    assert (whole.directions, whole.abilities) == (suite.directions, suite.abilities)
    assert len(suite.part(0.01).directions[0].requests) == 8, "fewer have no standard error"


def test_a_part_scores_as_the_whole_does_when_all_segments_are_alike(study):
    suite = suite_of(study)
    base, tuned = outputs(suite, "таксі", 1.0, 0.1), outputs(suite, "таксі!", 1.0, 0.4)
    part = suite.part(0.5)
    few = part.score(
        suite.outputs_of(part, tuned), suite.outputs_of(part, base), 100, 0, load_comet
    )
    whole = suite.score(tuned, base, 100, 0, load_comet)
    for name, score in whole.objectives.items():
        assert few.objectives[name].value == pytest.approx(score.value, abs=0.02)
