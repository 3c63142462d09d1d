"""Pairs of two languages through the English sentence that both translate."""

from mtray.embedded.pivoted_pairs import pivoted, split_pairs

SPANISH = [
    {"en": "Yes.", "es": "Sí."},
    {"en": "yes. ", "es": "Claro."},  # the same English: the first stays
    {"en": "Of course.", "es": "Sí."},  # a text stands once
    {"en": "No.", "es": "No."},
    {"en": "Alone.", "es": "Solo."},
]
UKRAINIAN = [
    {"en": "YES.", "uk": "Так."},
    {"en": "Yes.", "uk": "Еге."},
    {"en": "Of course.", "uk": "Звісно."},
    {"en": "No.", "uk": "Ні."},
]


def test_one_pair_for_each_english_sentence_that_both_have():
    found = pivoted(SPANISH, UKRAINIAN, set())
    assert sorted(map(tuple, (row.values() for row in found))) == [("No.", "Ні."), ("Sí.", "Так.")]
    assert pivoted(SPANISH[::-1], UKRAINIAN, set())[0].keys() == {"es", "uk"}
    assert pivoted(SPANISH, [], set()) == []


def test_no_text_is_in_two_splits():
    """`Sí.` and `Ні.` translate English sentences of several splits."""
    sentences = [
        ("Right.", "sí.", "Правильно."),
        ("Hi!", "¡Hola!", "Привіт!"),
        ("Nope.", "Que no.", "Ні."),
    ]
    finetune = (
        [{"en": en, "es": es} for en, es, _ in sentences],
        [{"en": en, "uk": uk} for en, _, uk in sentences],
    )
    pretrain = ([{"en": "Hello!", "es": "¡Hola!"}], [{"en": "Hello!", "uk": "Вітаю!"}])
    found = split_pairs({"pretrain": pretrain, "finetune": finetune, "dev": (SPANISH, UKRAINIAN)})
    assert len(found["dev"]) == 2
    assert found["finetune"] == [{"es": "¡Hola!", "uk": "Привіт!"}]
    assert found["pretrain"] == []
