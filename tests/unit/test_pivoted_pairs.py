"""Pairs of two languages through the English sentence that both translate."""

from mtray.embedded.pivoted_pairs import pivoted


def test_one_pair_for_each_english_sentence_that_both_have():
    spanish = [
        {"en": "Yes.", "es": "Sí."},
        {"en": "yes. ", "es": "Claro."},  # the same English: the first stays
        {"en": "Of course.", "es": "Sí."},  # a text stands once
        {"en": "No.", "es": "No."},
        {"en": "Alone.", "es": "Solo."},
    ]
    ukrainian = [
        {"en": "YES.", "uk": "Так."},
        {"en": "Yes.", "uk": "Еге."},
        {"en": "Of course.", "uk": "Звісно."},
        {"en": "No.", "uk": "Ні."},
    ]
    found = pivoted(spanish, ukrainian)
    assert sorted(map(tuple, (row.values() for row in found))) == [("No.", "Ні."), ("Sí.", "Так.")]
    assert pivoted(spanish[::-1], ukrainian)[0].keys() == {"es", "uk"}
    assert pivoted(spanish, []) == []
