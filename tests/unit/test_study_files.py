"""What people write into study files: read as meant, or an error with file, key and what to do. The
next report is one row."""

import pytest

from mtray.cli import main
from mtray.errors import ConfigError
from mtray.study import load_study
from mtray.yaml_files import MOST_BYTES, MOST_LEVELS, MOST_VALUES, read_yaml

STUDY = """name: small
sources:
  - {name: pairs, kind: parallel, languages: [en, uk], path: data/pairs.tsv}
evaluation:
  comet: owner/comet
  quality: [{direction: en-uk, path: dev.tsv}]
  abilities: {}
"""
SECOND = "abilities: {}\n"
NORWEGIAN = STUDY.replace("[en, uk]", "[en, no]").replace("en-uk", "en-no")
PATHS = NORWEGIAN.replace("data/pairs.tsv", "{en: a.en, no: a.no}")
MERGED = STUDY.replace("- {name: pairs", "- &n {name: pairs").replace(
    "evaluation:", "  - {<<: *n, name: others, weight: 2}\n  - {<<: [*n], name: more}\nevaluation:"
)
CHAINED = MERGED.replace("- {<<: *n, name: others", "- &o {<<: *n, name: others").replace(
    "[*n]", "[*o, *n]"
)
FILTERED = STUDY.replace("kind: parallel", "kind: parallel, filters: {empty: no}")
COMMENT = f"# the corpora are those of {{corpora}}\n{STUDY}"


def named(text):
    return STUDY.replace("small", text, 1)


def names_and_weights(study):
    return [(source.name, source.weight) for source in study.sources]


# what is written: the file, what is looked at, what it is
READ = {
    "packing: on": (f"{STUDY}training: {{packing: on}}\n", lambda s: s.training.packing, "on"),
    "packing: off": (f"{STUDY}training: {{packing: off}}\n", lambda s: s.training.packing, "off"),
    "true as yes": (f"{STUDY}training: {{allow_repeats: yes}}\n",
                    lambda s: s.training.allow_repeats, True),
    "false as off": (f"{STUDY}training: {{movement: off}}\n", lambda s: s.training.movement, False),
    "false as no": (f"{STUDY}trust_remote_code: no\n", lambda s: s.trust_remote_code, False),
    "a filter as no": (FILTERED, lambda s: s.sources[0].filters, {"empty": False}),
    "Norwegian": (NORWEGIAN, lambda s: s.sources[0].languages, ("en", "no")),
    "a file of Norwegian": (PATHS, lambda s: set(s.sources[0].path), {"en", "no"}),
    "a date as name": (named("2024-11-03"), lambda s: s.name, "2024-11-03"),
    "a year as an ability's name": (
        STUDY.replace(SECOND, "abilities: {2024: {measure: few_shot}}\n"),
        lambda s: list(s.evaluation.abilities), ["2024"],
    ),
    "a merge": (MERGED, names_and_weights, [("pairs", 1), ("others", 2), ("more", 1)]),
    "a chain of merges": (CHAINED, names_and_weights, [("pairs", 1), ("others", 2), ("more", 2)]),
    "leading zeros": (f"{STUDY}seed: 010\n", lambda s: s.seed, 10),
    "underscores": (f"{STUDY}seed: 1_000\n", lambda s: s.seed, 1000),
    "hexadecimal": (f"{STUDY}seed: 0x1f\n", lambda s: s.seed, 31),
    "an exponent": (f"{STUDY}training: {{weight_decay: 1e-2}}\n",
                    lambda s: s.training.weight_decay, 0.01),
    "a byte order mark": (f"\ufeff{STUDY}", lambda s: s.name, "small"),
    "lines of Windows": (STUDY.replace("\n", "\r\n"), lambda s: s.name, "small"),
    "a model's name of 300 letters": (f"{STUDY}model: {'x' * 300}\n", lambda s: len(s.model), 300),
    "corpora in a comment": (COMMENT, lambda s: s.name, "small"),
}  # fmt: skip


@pytest.fixture
def nothing_fetched(monkeypatch):
    """Loading a study looks for the embedded corpora only where a path names them, and never
    fetches them."""
    monkeypatch.setattr("mtray.embedded.corpora.prepare", lambda: pytest.fail("fetched"))
    monkeypatch.setattr("mtray.study.corpora_dir", lambda: pytest.fail("looked for"))


def put(folder, text):
    path = folder / "study.yaml"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(("text", "looked_at", "expected"), READ.values(), ids=list(READ))
def test_what_is_written_is_read_as_meant(tmp_path, nothing_fetched, text, looked_at, expected):
    assert looked_at(load_study(put(tmp_path, text))) == expected


def test_a_path_of_the_embedded_corpora_fetches_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("mtray.embedded.corpora.prepare", lambda: pytest.fail("fetched"))
    monkeypatch.setenv("MTRAY_CACHE", str(tmp_path / "cache"))
    text = STUDY.replace("data/pairs.tsv", '"{corpora}/a.tsv"')
    assert load_study(put(tmp_path, text)).sources[0].path.startswith(str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 3000))
VALUES, LEVELS = f"more than {MOST_VALUES:,} values", f"more than {MOST_LEVELS} levels"
TWICE = STUDY.replace("path: dev.tsv", "path: dev.tsv, path: test.tsv")
HOME = STUDY.replace("data/pairs.tsv", "~nobody-of-this-name/a.tsv")
LONG = STUDY.replace("languages: [en, uk]", f"languages: [en, {'u' * 9000}]")

# what is written: the file, what the error says after the file's name
REFUSED = {
    "a number as name": (named("2024"), r": name: expected text, found 2024, .* number; quote it$"),
    "a truth as language": (STUDY.replace("[en, uk]", "[en, true]"),
                            r": sources\.0\.languages\.1: .*found True.*; quote it$"),
    "a hash of digits": (STUDY.replace("kind:", "revision: 1234567, kind:"),
                         r": sources\.0\.revision: .*found 1234567.*quote it$"),
    "a time as a number": (f"{STUDY}budget: {{max_minutes: 1:30}}\n",
                           r": budget\.max_minutes: .* valid number.*found '1:30'"),
    "a date that there is not": (f"{STUDY}seed: 2024-13-45\n", ": seed: .*found '2024-13-45'"),
    "a number as key": (f"{STUDY}2: x\n", ": unknown key 2; allowed here: name"),
    "null as key": (f"{STUDY}null: x\n", ": unknown key null; allowed here: name"),
    "a key twice": (TWICE, ":6: key 'path' occurs twice"),
    "a key twice beside a merge": (MERGED.replace("name: more", "name: more, name: x"),
                                   ":5: key 'name' occurs twice"),
    "two merges": (MERGED.replace("<<: [*n]", "<<: *n, <<: *n"), ":5: key '<<' occurs twice"),
    "a merge of text": (MERGED.replace("[*n]", "n"), ":.: expected a mapping or list of mappings"),
    "an alias of nothing": (f"{STUDY}x: *y\n", ":8: found undefined alias"),
    "a bomb": (STUDY + BOMB, rf":\d+: {VALUES}; allowed: at most"),
    "a list of too many": (f"{STUDY}x: [{'1,' * (MOST_VALUES + 1)}]\n", rf":8: {VALUES}"),
    "a list within itself": (f"{STUDY}x: &a [*a]\n", ":8: an alias within what it stands for"),
    "a mapping within itself": (f"{STUDY}x: &a {{b: *a}}\n", ":8: an alias within what it stands"),
    "a merge of itself": (f"{STUDY}x: &a {{<<: *a}}\n", ":8: an alias within what it stands for"),
    "deep lists": (f"{STUDY}x: {'[' * 3000}{']' * 3000}\n", rf":8: {LEVELS}"),
    "deep keys": (f"{STUDY}{'? ' * 3000}x\n", rf":8: {LEVELS}"),
    "deep aliases": (STUDY + CHAIN, rf":\d+: {LEVELS}"),
    "a large file": (f"{STUDY}# {'x' * MOST_BYTES}\n", f"at most {MOST_BYTES:,}"),
    "5,000 digits": (f"{STUDY}seed: {'9' * 5000}\n", ":8: '9{40}' cannot be read as int"),
    "letters tagged as int": (f"{STUDY}seed: !!int x\n", ":8: 'x' cannot be read as int"),
    "letters tagged as bool": (f"{STUDY}seed: !!bool x\n", ":8: 'x' cannot be read as bool"),
    "nothing tagged as float": (f"{STUDY}seed: !!float ''\n", ":8: '' cannot be read as float"),
    "a tagged date": (f"{STUDY}seed: !!timestamp x\n", ":8: could not determine a constructor"),
    "a long tag": (f"{STUDY}seed: !{'x' * 9000} 1\n", r":8: .* \.\.\. \([\d,]+ characters\)$"),
    "NUL in a path": (STUDY.replace("data/pairs.tsv", r'"a\0b"'), ":3: a character that no text"),
    "NUL in a name": (f'{STUDY}model: "a\\0b"\n', ":8: a character that no text"),
    "half a character": (f'{STUDY}model: "\\ud800"\n', ":8: a character that no text"),
    "the home of nobody": (HOME, "'~nobody-of-this-name/a.tsv' names a home folder that there is"),
    "a long value": (LONG, r": sources\.0\.languages\.1: .*\.\.\. \(9,002 characters\)$"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_meant_is_named(tmp_path, capsys, text, message):
    path = put(tmp_path, text)
    with pytest.raises(ConfigError, match=rf"^\S*study\.yaml.*{message}"):
        load_study(path)
    assert main(["check", "--study", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {path}:")


def test_one_wrong_item_is_one_line(tmp_path):
    """pydantic also counts the valid items that are left, which are too few."""
    with pytest.raises(ConfigError) as error:
        load_study(put(tmp_path, STUDY.replace("kind: parallel", "kind: pairs")))
    assert len(str(error.value).splitlines()) == 1


def test_no_item_at_all_is_still_named(tmp_path):
    with pytest.raises(ConfigError, match=r"sources: .*at least 1 item"):
        load_study(put(tmp_path, "name: small\nsources: []\n"))


def test_limits_are_where_they_are_said_to_be(tmp_path):
    """The mapping of the file is a level and a value, and so are its keys and its values."""
    inner = MOST_LEVELS - 2  # below the mapping, and above the innermost list's own item
    assert read_yaml(put(tmp_path, f"x: {'[' * inner}1{']' * inner}\n"))
    with pytest.raises(ConfigError, match=LEVELS):
        read_yaml(put(tmp_path, f"x: {'[' * (inner + 1)}1{']' * (inner + 1)}\n"))
    half = (MOST_VALUES - 6) // 2  # the mapping, two keys, two lists, and the alias's anchor
    text = f"x: &a [{'1,' * half}]\ny: *a\n"
    assert len(read_yaml(put(tmp_path, text))["y"]) == half
    with pytest.raises(ConfigError, match=VALUES):
        read_yaml(put(tmp_path, text.replace("[1,", "[1,1,1,1,", 1)))
