"""From rows to examples: what is drawn for a row depends on its content alone."""

import random
from collections import Counter
from itertools import pairwise

import pytest
from pydantic import ValidationError
from records_factory import make_study
from test_chat import chatting
from tiny_models import byte_level, metaspace

from mtray.data import training_prompts
from mtray.data.length_fitting import Example
from mtray.data.templates import translation_prompt
from mtray.data.tokenization import encode_examples
from mtray.data.training_prompts import build_renderer
from mtray.errors import ConfigError, DataError
from mtray.schema import Source, Training

WORDS = ["a", "bad", "cab", "abba", "dad", "fed", "bee", "beef"]


def numbered(count, seed=0):
    """Pairs that no two rows share a side of."""
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=3)) for _ in range(count)]
    return [{"source": f"{t} e{i}", "target": f"{t} u{i}"} for i, t in enumerate(texts)]


def pairs_source(**keys):
    return Source(name="pairs", kind="parallel", path="p.tsv", languages=("en", "uk"), **keys)


def rendered(source, rows, tokenizer=None, few_shot=False, **study):
    renderer = build_renderer(source, make_study(**study), tokenizer or byte_level(), few_shot)
    return list(renderer.examples(rows)), renderer.counts


@pytest.mark.parametrize("template", ["labels", "alma", "mfti_behind_target"])
def test_without_options_nothing_is_drawn(template):
    rows = numbered(9)
    found, counts = rendered(pairs_source(), rows, template=template)
    assert found == [
        (translation_prompt(r["source"], "en", "uk", template), r["target"]) for r in rows
    ]
    assert counts == {"rows": 9, "examples": 9, "direction.en-uk": 9}
    mono = Source(name="m", kind="mono", path="m.txt", languages=("en",))
    assert rendered(mono, [{"text": "c {1}\nd"}] * 2)[0] == [("", "c {1}\nd")] * 2
    given = [{"prompt": "p", "target": "t"}]
    for kind in ("replay", "instruct"):
        source = Source(name="x", kind=kind, path="r.jsonl")
        assert rendered(source, given, template=template)[0] == [("p", "t")]


def test_a_source_can_serve_both_directions():
    rows = numbered(2000)
    source = pairs_source(directions={"en-uk": 0.7, "uk-en": 0.3})
    found, counts = rendered(source, rows)
    for row, example in zip(rows, found, strict=True):
        forth = Example(f"English: {row['source']}\nUkrainian:", row["target"])
        back = Example(f"Ukrainian: {row['target']}\nEnglish:", row["source"])
        assert example in (forth, back)
    assert counts["direction.en-uk"] + counts["direction.uk-en"] == 2000
    # binomial: 600 with a standard deviation of 20.5
    assert abs(counts["direction.uk-en"] - 600) < 80
    again, _ = rendered(source, rows[::-1])
    assert again[::-1] == found, "by content, not by place"
    other, _ = rendered(source, rows, seed=2)
    assert other != found
    (only,), _ = rendered(pairs_source(directions={"uk-en": 1}), rows[:1])
    assert only.prompt.startswith("Ukrainian:")


def test_shares_are_relative_and_nest():
    """More of the first direction keeps the rows that already had it."""
    rows = numbered(300)
    forth = []
    for share in (1, 3, 9):
        found, _ = rendered(pairs_source(directions={"en-uk": share, "uk-en": 1}), rows)
        forth.append({i for i, e in enumerate(found) if e.prompt.startswith("English")})
    assert forth[0] < forth[1] < forth[2]
    assert abs(len(forth[1]) - 225) < 40  # 3:1, standard deviation 7.5


def test_requests_of_the_pool_differ_by_source_and_row():
    rows = numbered(200)
    found, _ = rendered(pairs_source(), rows, template="pool")
    assert len({e.prompt.split("\n")[0] for e in found}) > 25
    assert all(e.prompt.split("\n")[1:] == [f"English: {r['source']}", "Ukrainian:"]
               for e, r in zip(found, rows, strict=True))  # fmt: skip
    renamed = pairs_source().model_copy(update={"name": "others"})
    assert rendered(renamed, rows, template="pool")[0] != found


def test_a_chat_is_taught_as_the_template_has_it():
    tokenizer = chatting()
    rows = [{"source": "a bad cab", "target": "abba dad"}]
    found, _ = rendered(pairs_source(), rows, tokenizer, template="chat")
    request = "Translate the following text from English into Ukrainian."
    assert found[0].prompt == (f"<s>[user]\n{request}\n\n{rows[0]['source']}[end]\n[assistant]\n")
    ((ids, start),) = encode_examples(tokenizer, found[:1])
    assert tokenizer.decode(ids[start:]) == rows[0]["target"] + "[end]"
    replay = Source(name="old", kind="replay", path="r.jsonl")
    (example,), _ = rendered(
        replay, [{"prompt": "Hi?", "target": "Yo"}], tokenizer, template="chat"
    )
    assert example == ("<s>[user]\nHi?[end]\n[assistant]\n", "Yo")
    mono = Source(name="m", kind="mono", path="m.txt", languages=("en",))
    assert rendered(mono, [{"text": "abc"}], tokenizer, template="chat")[0] == [("", "abc")]
    with pytest.raises(ConfigError, match="needs a tokenizer with a chat template"):
        build_renderer(pairs_source(), make_study(template="chat"), byte_level())


LONG = Training(max_length=400)


def test_few_shot_rows_show_other_rows():
    rows = numbered(600)
    known = {row["source"]: row["target"] for row in rows}
    plain, _ = rendered(pairs_source(), rows)
    source = pairs_source(shots=(1, 3))
    found, counts = rendered(source, rows, few_shot=True, training=LONG)
    for example, alone in zip(found, plain, strict=True):
        lines = example.prompt.split("\n")
        assert example.target == alone.target
        assert "\n".join(lines[-2:]) == alone.prompt, "the query is asked as without shots"
        shots = list(zip(lines[:-2:2], lines[1:-2:2], strict=True))
        assert 1 <= len(shots) <= 3
        for asked, answered in shots:
            text = asked.removeprefix("English: ")
            assert known[text] == answered.removeprefix("Ukrainian: ")
            assert text not in lines[-2]
    shots = {name: n for name, n in counts.items() if name.startswith("shots.")}
    assert set(shots) == {"shots.1", "shots.2", "shots.3"} and min(shots.values()) > 150
    assert sum(shots.values()) == 600
    shuffled = rows[:]
    random.Random(1).shuffle(shuffled)
    again, _ = rendered(source, shuffled, few_shot=True, training=LONG)
    assert sorted(again) == sorted(found), "the order of the file decides nothing"


def test_shots_are_as_many_as_fit():
    rows = numbered(40)
    tokenizer = byte_level()
    source = pairs_source(shots=(5, 5))
    whole, _ = rendered(source, rows, few_shot=True, training=LONG)

    def length(lines, example):
        prompt = "\n".join([*lines, *example.prompt.split("\n")[-2:]])
        return len(encode_examples(tokenizer, [(prompt, example.target)])[0][0])

    found, counts = rendered(source, rows, few_shot=True, training=Training(max_length=70))
    for example, full in zip(found, whole, strict=True):
        every = full.prompt.split("\n")[:-2]
        lines = example.prompt.split("\n")[:-2]
        assert len(every) == 10 and length(lines, example) <= 70
        for shot in zip(every[::2], every[1::2], strict=True):
            if shot[0] not in lines:
                assert length([*lines, *shot], example) > 70
    assert counts["shots.0"] == counts["shots.5"] == 0
    short, counts = rendered(source, rows, few_shot=True, training=Training(max_length=20))
    assert counts["shots.0"] == 40
    assert short == rendered(pairs_source(), rows)[0], "never left out for its shots"


def test_the_pool_of_shots_is_bounded_and_the_same_in_any_order(monkeypatch):
    monkeypatch.setattr(training_prompts, "SHOT_POOL", 7)
    rows = numbered(100)
    pool, again = training_prompts._pool([*rows, *rows[:50]], "1/pairs")
    assert len(pool) == 7 and list(again) == [*rows, *rows[:50]]
    assert pool == training_prompts._pool(rows[::-1], "1/pairs")[0]
    assert pool != training_prompts._pool(rows, "2/pairs")[0]
    few, _ = training_prompts._pool(rows[:3], "1/pairs")
    assert len(few) == 3
    source = pairs_source(shots=(4, 4))
    _, counts = rendered(source, rows[:3], few_shot=True, training=LONG)
    assert counts["shots.2"] == 3, "two others are all there are"


def documented(*texts):
    return [{"document": d, "text": t} for d, t in texts]


def test_documents_are_joined_up_to_the_length():
    source = Source(name="m", kind="mono", path="m.txt", languages=("en",), documents=True)
    rows = documented(("1", "a bad cab"), ("1", "dad"), ("2", "bee"), ("1", "fed"))
    found, counts = rendered(source, rows)
    assert found == [("", "a bad cab\ndad"), ("", "bee"), ("", "fed")]
    assert (counts["rows"], counts["examples"]) == (4, 3)
    with pytest.raises(DataError, match=r"'m': no row has a document; .*columns: {document:"):
        rendered(source, [{"text": "a"}])


@pytest.mark.parametrize("make", [byte_level, metaspace])
def test_no_piece_of_a_document_is_too_long_and_none_could_be_longer(make):
    tokenizer = make()
    rng = random.Random(3)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 6))) for _ in range(200)]
    rows = documented(*((str(i // 40), t) for i, t in enumerate(texts)))
    source = Source(name="m", kind="mono", path="m.txt", languages=("en",), documents=True)
    found, _ = rendered(source, rows, tokenizer, training=Training(max_length=40))

    def length(text):
        return len(encode_examples(tokenizer, [("", text)])[0][0])

    assert max(length(text) for _, text in found) <= 40
    assert [line for _, text in found for line in text.split("\n")] == texts
    room = sum(
        length(f"{piece}\n{following.splitlines()[0]}") <= 40
        for (_, piece), (_, following) in pairwise(found)
    )
    assert room <= 4, "only where one of the five documents ends"


def in_documents(*documents):
    return [{"source": s, "target": t, "document": d} for d, s, t in documents]


CONTEXT = in_documents(
    ("1", "a  bad", "A"), ("1", "cab", "B"), ("1", "dad", "C"), ("1", "bee", "D"), ("2", "fed", "E")
)


def test_a_row_comes_after_the_sentences_before_it():
    """In the form that ability `context` asks: one text, sentences joined by spaces."""
    found, counts = rendered(pairs_source(context=2), CONTEXT)
    assert found == [
        ("English: a  bad\nUkrainian:", "A"),
        ("English: a bad cab\nUkrainian:", "A B"),
        ("English: a bad cab dad\nUkrainian:", "A B C"),
        ("English: cab dad bee\nUkrainian:", "B C D"),
        ("English: fed\nUkrainian:", "E"),
    ]
    assert (counts["previous.0"], counts["previous.1"], counts["previous.2"]) == (2, 1, 2)
    turned, _ = rendered(pairs_source(context=1, directions={"uk-en": 1}), CONTEXT)
    assert turned[3] == ("Ukrainian: C D\nEnglish:", "dad bee")
    with pytest.raises(DataError, match="no row has a document"):
        rendered(pairs_source(context=1), numbered(1))


def test_context_is_cut_where_it_would_not_fit():
    tokenizer = byte_level()
    whole, _ = rendered(pairs_source(context=3), CONTEXT)
    lengths = [len(ids) for ids, _ in encode_examples(tokenizer, whole)]
    found, _ = rendered(pairs_source(context=3), CONTEXT, training=Training(max_length=lengths[2]))
    assert found[:3] == whole[:3]
    assert found[3] == ("English: cab dad bee\nUkrainian:", "B C D")
    tiny, counts = rendered(pairs_source(context=3), CONTEXT, training=Training(max_length=8))
    assert tiny == rendered(pairs_source(), CONTEXT)[0]
    assert counts["previous.0"] == 5


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"directions": {"en-de": 1}}, "names 'en-de'; allowed: en-uk and uk-en"),
        ({"directions": {"en-uk": 0}}, "greater than 0"),
        ({"shots": (3, 2)}, "the least exceeds the most"),
        ({"documents": True, "context": 2}, "drop it or `context`"),
        ({"replay": "gr"}, "`replay` cannot be given for a parallel source"),
        ({"noise": {"side": "source", "level": "word", "rate": 0.5}}, "needs `path`"),
        ({"noise": {"side": "source", "level": "sentence", "rate": 0.5}}, "one of `path` and"),
        ({"noise": {"side": "both", "level": "word", "rate": 0.5}}, "'source' or 'target'"),
        ({"directions": {"uk-en": 1},
          "noise": {"side": "source", "level": "word", "rate": 0.5, "path": "d"}},
         "on a side of en-uk; define a separate source for uk-en"),
    ],
)  # fmt: skip
def test_keys_that_do_not_fit(keys, reason):
    with pytest.raises(ValidationError, match=reason):
        pairs_source(**keys)


def test_keys_of_other_kinds():
    with pytest.raises(ValidationError, match="`context` cannot be given for a mono source"):
        Source(name="m", kind="mono", path="m.txt", languages=("en",), context=2)
    with pytest.raises(ValidationError, match="`path` is missing"):
        Source(name="r", kind="replay")
    made_up = Source(name="r", kind="replay", replay="self")
    assert made_up.path == "" and Counter(made_up.roles) == {"prompt": 1}
