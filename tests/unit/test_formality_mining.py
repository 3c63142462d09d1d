"""Register contrast, on pairs worked by hand."""

import pytest

from mtray.data.benchmarks.formality_mining import contrast, mine, register_of

# informal, formal -> annotated informal, annotated formal
PAIRS = [
    ("Ти знаєш.", "Ви знаєте.", "[F]Ти[/F] [F]знаєш[/F].", "[F]Ви[/F] [F]знаєте[/F]."),
    ("Читай!", "Читайте!", "[F]Читай[/F]!", "[F]Читайте[/F]!"),
    ("Іди сюди.", "Ідіть сюди.", "[F]Іди[/F] сюди.", "[F]Ідіть[/F] сюди."),
    ("Не смійся.", "Не смійтеся.", "Не [F]смійся[/F].", "Не [F]смійтеся[/F]."),
    ("Це твоя книга?", "Це ваша книга?", "Це [F]твоя[/F] книга?", "Це [F]ваша[/F] книга?"),
    ("Я бачу тебе.", "Я бачу вас.", "Я бачу [F]тебе[/F].", "Я бачу [F]вас[/F]."),
    # готова / готові is the same word in another form: it differs and is not marked
    ("Ти готова?", "Ви готові?", "[F]Ти[/F] готова?", "[F]Ви[/F] готові?"),
]


@pytest.mark.parametrize("informal, formal, informal_marked, formal_marked", PAIRS)
def test_contrast(informal, formal, informal_marked, formal_marked):
    found = contrast("You.", informal, formal)
    assert found is not None
    assert (found.source, found.informal, found.formal) == ("You.", informal, formal)
    assert found.informal_annotated == informal_marked
    assert found.formal_annotated == formal_marked


NO_CONTRAST = [
    ("Ти знаєш.", "Ти знаєш."),  # the same
    ("Ви знаєте.", "Ти знаєш."),  # the other way round
    ("Ти знаєш.", "Ви це знаєте."),  # not word by word
    ("Я знаю.", "Я знав."),  # no register
    ("Ти купив хліб.", "Ви купили молоко."),  # another word differs too
    ("Ти бачиш великий синій дім.", "Ви маєте гарну нову річ."),  # nearly everything differs
    ("Ти й вас бачиш.", "Ви й вас бачите."),  # both registers on one side
]


@pytest.mark.parametrize("informal, formal", NO_CONTRAST)
def test_no_contrast(informal, formal):
    assert contrast("You.", informal, formal) is None


REGISTERS = [
    ("Ти тут.", "informal"), ("ТОБІ!", "informal"), ("Ваша книга.", "formal"), ("Він тут.", None),
    ("Ти і ви.", None), ("Твої й ваші.", None), ("Вихід.", None), ("", None), ("Тиша.", None),
]  # fmt: skip


@pytest.mark.parametrize("text, register", REGISTERS)
def test_register_of(text, register):
    assert register_of(text) == register


def test_the_closest_pair_of_a_group_is_taken():
    groups = [
        ("You know.", ["Ти знаєш.", "Ви знали?", "Ви знаєте.", "Ви знаєте!"]),
        ("He knows.", ["Він знає.", "Він це знає."]),
        ("Read!", ["Читайте!", "Читай!"]),
    ]
    found = list(mine(groups))
    assert [(c.source, c.informal, c.formal) for c in found] == [
        ("You know.", "Ти знаєш.", "Ви знаєте."),
        ("Read!", "Читай!", "Читайте!"),
    ]
