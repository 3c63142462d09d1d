"""Following an instruction to translate, with answers whose labels are worked out by hand."""

import json
import pickle

import pytest
from ability_factory import TOOLS
from sacrebleu.metrics import CHRF
from tiny_models import byte_level

from mtray.data.templates import TEMPLATES
from mtray.errors import ConfigError, DataError, EvaluationError
from mtray.evaluation.abilities import build_ability
from mtray.evaluation.abilities.base import Context
from mtray.evaluation.inference.requests import Output
from mtray.schema import AbilitySpec

PAIRS = [
    ("The government passed a new law.", "Die Regierung hat ein neues Gesetz beschlossen."),
    ("Angela Merkel, Emmanuel Macron", "Angela Merkel, Emmanuel Macron"),  # a copy is right here
    ("I do not know where he lives.", "Ich weiß nicht, wo er wohnt."),
]
KEPT = [PAIRS[0], PAIRS[2]]


def build(tmp_path, pairs=PAIRS, **options):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps({"en": s, "de": t}) for s, t in pairs), encoding="utf-8")
    options = {"direction": "en-de"} | options
    spec = AbilitySpec(measure="instructions", path=str(path), **options)
    return build_ability(spec, Context("kept", "labels", 16, byte_level()))


def outputs(*texts):
    return [Output(text, -1.0, 1) for text in texts]


def test_requests(tmp_path):
    ability = build(tmp_path)
    assert [r.prompt for r in ability.requests] == [
        "Translation: [English]: The government passed a new law. [German]:",
        "Translation: [English]: I do not know where he lives. [German]:",
    ]
    assert all(r.target is None and r.max_new_tokens == 16 for r in ability.requests)
    six = tuple(t for t in TEMPLATES if t.startswith("mfti"))
    many = build(tmp_path, templates=six)
    assert len(six) == 6 and len(many.requests) == 12
    assert many.requests[:2] == ability.requests
    assert many.requests[3].prompt == "Translation: I do not know where he lives. [German]:"
    assert pickle.loads(pickle.dumps(many)) == many


def test_the_references_follow_and_copies_and_nothing_do_not(tmp_path):
    ability = build(tmp_path)
    sources, references = zip(*KEPT, strict=True)
    assert ability.measure(outputs(*references), TOOLS).point == 1.0
    assert ability.floor == 0.0
    assert ability.measure(outputs(*sources), TOOLS).point == ability.floor
    assert ability.measure(outputs("", "..."), TOOLS).point == ability.floor
    with pytest.raises(EvaluationError, match="2 requests but 1 outputs"):
        ability.measure(outputs("a"), TOOLS)


def test_half_followed(tmp_path):
    ability = build(tmp_path)
    references = [t for _, t in KEPT]
    answers = outputs(references[0], "Je ne sais pas du tout où il habite.")
    assert ability.measure(answers, TOOLS).point == 0.5
    extras = {name: m.point for name, m in ability.extras(answers, TOOLS).items()}
    assert extras["off_target"] == 0.5
    assert extras["copy"] == extras["empty"] == extras["oscillation"] == 0
    assert "any" not in extras and "followed.mfti" not in extras
    assert extras["gated_chrf"] == pytest.approx((100 + 0) / 2)
    texts = [answer.text for answer in answers]
    assert extras["chrf"] == pytest.approx(CHRF().corpus_score(texts, [references]).score)
    counts = ability.counts(answers)
    assert counts["strict.off_target"] == counts["strict.first.off_target"] == 1
    assert counts["segments"] == 2 and counts["copied"] == 0


def test_a_pair_is_drawn_with_all_its_templates(tmp_path):
    ability = build(tmp_path, templates=("mfti", "labels"))
    (s0, r0), (_, r1) = KEPT
    answers = outputs(r0, r1, s0, r1)  # both by the first template, one by the second
    found = ability.measure(answers, TOOLS)
    assert found.point == 0.75 and found.n == 2
    units, stats = found.by_unit()
    assert units.tolist() == [0, 1] and stats.tolist() == [[1, 2], [2, 2]]
    extras = ability.extras(answers, TOOLS)
    assert extras["followed.mfti"].point == 1.0
    assert extras["followed.labels"].point == 0.5


def test_a_part_keeps_all_templates(tmp_path):
    letters = "abcdefghijklmnopqrst"
    pairs = [(f"The letter {c} is good.", f"Der Buchstabe {c} ist gut.") for c in letters]
    ability = build(tmp_path, pairs, templates=("mfti", "labels"))
    part = ability.part(0.5)
    assert part.pairs == ability.pairs[::2]
    assert part.requests == [*ability.requests[:20:2], *ability.requests[20::2]]
    assert ability.part(1.0) == ability


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"templates": ["mfty"]}, "`templates`: unknown 'mfty'; allowed: labels"),
        ({"templates": ["mfti", "mfti"]}, "a name twice"),
        ({"templates": []}, "`templates"),
        ({"shots": 3}, "does not know `shots`"),
        ({"direction": "english"}, "`direction`"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        build(tmp_path, **options)


def test_nothing_to_judge(tmp_path):
    with pytest.raises(DataError, match="a copy of its source"):
        build(tmp_path, [PAIRS[1], ("1.", "1.")])
