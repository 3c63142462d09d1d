"""Names of languages in prompts. The next report is one row."""

import re

import pytest

from mtray.data.language_names import MISTAKEN, language_name, names
from mtray.data.templates import translation_prompt
from mtray.errors import ConfigError
from mtray.schema.study import Language

NAMED = [
    ("no", "Norwegian"), ("nb", "Norwegian Bokmål"), ("nn", "Norwegian Nynorsk"),
    ("nor", "Norwegian"), ("nob", "Norwegian Bokmål"), ("nno", "Norwegian Nynorsk"),
    ("el", "Greek"), ("ell", "Greek"), ("gre", "Greek"), ("de", "German"), ("deu", "German"),
    ("ger", "German"), ("sw", "Swahili"), ("ms", "Malay"), ("bn", "Bengali"), ("pa", "Punjabi"),
    ("hsb", "Upper Sorbian"), ("bho", "Bhojpuri"), ("mas", "Masai"), ("ckb", "Central Kurdish"),
    ("yue", "Cantonese"), ("fuv", "Nigerian Fulfulde"), ("arz", "Egyptian Arabic"),
    # as in prompts of earlier versions, whose records must stay comparable
    ("ar", "Arabic"), ("bg", "Bulgarian"), ("ca", "Catalan"), ("cs", "Czech"), ("en", "English"),
    ("es", "Spanish"), ("fi", "Finnish"), ("fr", "French"), ("ha", "Hausa"), ("hi", "Hindi"),
    ("is", "Icelandic"), ("it", "Italian"), ("ja", "Japanese"), ("ko", "Korean"), ("nl", "Dutch"),
    ("pl", "Polish"), ("pt", "Portuguese"), ("ru", "Russian"), ("ta", "Tamil"),
    ("uk", "Ukrainian"), ("zh", "Chinese"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "name"), NAMED)
def test_a_prompt_names_the_language(code, name):
    assert language_name(code) == name
    assert translation_prompt("Hi", "en", code) == f"English: Hi\n{name}:"


REFUSED = [
    ("xx", r"such as uk or ukr$"),
    ("ua", r"did you mean uk \(Ukrainian\)\?$"),
    ("jp", r"did you mean ja \(Japanese\)\?$"),
    ("und", r"such as uk or ukr$"),
]


@pytest.mark.parametrize(("code", "message"), REFUSED)
def test_what_is_no_language_is_named(code, message):
    with pytest.raises(ConfigError, match=f"language '{code}' is not in ISO 639; .*{message}"):
        language_name(code)


def test_every_code_is_one_that_a_study_takes_with_a_name_on_a_line():
    pattern = re.compile(Language.__metadata__[0].metadata[0].pattern)
    assert len(names()) > 8000
    assert all(pattern.match(code) for code in names())
    assert all(name == name.strip() != "" for name in names().values())
    # ISO 639-1 has 183, and CLDR's `sh`
    assert sum(len(code) == 2 for code in names()) == 184


def test_what_is_mistaken_is_no_code_and_what_is_meant_is_one():
    assert not names().keys() & MISTAKEN.keys()
    assert names().keys() >= set(MISTAKEN.values())
