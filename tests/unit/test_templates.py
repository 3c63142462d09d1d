"""The texts a model sees."""

import pytest

from mtray.data.language_names import language_name
from mtray.data.templates import (
    TEMPLATES,
    completed,
    few_shot_prompt,
    translation_prompt,
)
from mtray.errors import ConfigError

BY_TEMPLATE = {
    "labels": "English: Hi {x}\nUkrainian:",
    "alma": "Translate this from English to Ukrainian:\nEnglish: Hi {x}\nUkrainian:",
    "mfti": "Translation: [English]: Hi {x} [Ukrainian]:",
    "mfti_target": "Translation: Hi {x} [Ukrainian]:",
    "mfti_behind": "Hi {x} Translate from [English] to [Ukrainian]:",
    "mfti_behind_target": "Hi {x} Translate to [Ukrainian]:",
    "mfti_sentence": "The Ukrainian translation of English sentence 'Hi {x}' is:",
    "mfti_sentence_target": "The Ukrainian translation of sentence 'Hi {x}' is:",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates(template):
    """A brace in the source is text, not a slot."""
    prompt = translation_prompt("Hi {x}", "en", "uk", template)
    assert prompt == BY_TEMPLATE[template]
    assert not prompt.endswith(" ")


def test_the_register_stands_behind_the_target_language():
    prompt = translation_prompt("Hi", "en", "uk", register="formal")
    assert prompt == "English: Hi\nUkrainian (formal):"


def test_few_shot_names_no_task():
    assert few_shot_prompt([("a", "b"), ("c {0}", "d")], "e") == "a -> b\nc {0} -> d\ne ->"
    assert few_shot_prompt([], "e") == "e ->"


def test_one_space_before_the_target():
    assert completed("e ->", "f") == "e -> f"


def test_unknown_names_are_errors_that_list_the_known():
    with pytest.raises(ConfigError, match=r"language 'xx' is not in ISO 639; .* uk or ukr$"):
        language_name("xx")
    with pytest.raises(ConfigError, match="template 'lables' is unknown; known: alma, labels"):
        translation_prompt("Hi", "en", "uk", "lables")
