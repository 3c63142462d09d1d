"""The files of the page: served one by one, and joined into a page that is kept."""

import base64
import hashlib
import re

import pytest
from records_factory import make_failed, make_record, make_run, make_study

from mtray.report.page_front import page_front, rounded
from mtray.report.page_trials import thinned, trial_row, trials_table
from mtray.report.web_page import KEPT, LIVE, joined, live_files, page_files, static_page

MODULES = {
    "kept.js": 'import { a } from "./one.js";\nimport { b } from "./two.js";\nshow(a, b);\n',
    "one.js": "const hidden = 1;\nexport const a = hidden;\n",
    "two.js": (
        'import { a } from "./one.js";\nconst hidden = 2;\nexport function b() { return a; }\n'
    ),
}


def test_modules_are_joined_in_the_order_of_their_imports():
    assert joined(MODULES, "kept.js") == (
        "const { a } = (() => {\nconst hidden = 1;\nconst a = hidden;\nreturn { a };\n})();\n"
        "const { b } = (() => {\nconst hidden = 2;\nfunction b() { return a; }\nreturn { b };\n"
        "})();\nconst {  } = (() => {\nshow(a, b);\nreturn {  };\n})();\n"
    )


def test_a_circle_of_imports_is_an_error():
    circle = {"a.js": 'import "./b.js";\n', "b.js": 'import "./a.js";\n'}
    with pytest.raises(ValueError, match=r"a\.js imports b\.js imports a\.js: a circle"):
        joined(circle, "a.js")


@pytest.mark.parametrize("first", [LIVE, KEPT])
def test_every_import_is_joined_and_no_name_exported_twice(first):
    text = joined(page_files(), first)
    assert not re.search(r"^(import|export) ", text, re.MULTILINE)
    names = ", ".join(re.findall(r"^const \{ (.*?) \} = \(\(\) =>", text, re.MULTILINE)).split(", ")
    assert len(names) > 40 and len(names) == len(set(names))


def test_every_file_is_used():
    modules = {name for name in page_files() if name.endswith(".js")}
    used = {LIVE, KEPT}
    for text in page_files().values():
        used |= set(re.findall(r'from "\./([\w-]+\.js)"', text))
    assert modules == used and len(modules) > 10


@pytest.mark.parametrize("name", sorted(page_files()))
def test_no_file_makes_markup_of_text_or_names_another_host(name):
    text = page_files()[name]
    assert "://" not in text and "//" not in re.sub(r"(^|\s)// .*", "", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
    assert not re.search(r"@import|url\(|new Function|<script", text)


def test_a_served_page_holds_no_script_of_its_own():
    page = live_files()["index.html"]
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    assert "style=" not in page and "__" not in page


def test_a_static_page_allows_exactly_its_own_script_and_style():
    text = static_page({"a": 1}, "t")
    for tag, attributes in (("style", ""), ("script", ' type="module"')):
        (found,) = re.findall(rf"<{tag}{attributes}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in text


def test_what_the_data_says_is_not_filled_in():
    text = static_page({"a": "__TITLE__ __HEAD__"}, "__FOOT__")
    assert '{"a": "__TITLE__ __HEAD__"}' in text and "<title>__FOOT__</title>" in text


@pytest.mark.parametrize(
    "value, expected",
    [
        (0.123456789, 0.123457),
        (123456.789, 123457.0),
        ({"a": [1, 2.00000001, "x", None, True]}, {"a": [1, 2.0, "x", None, True]}),
    ],
)
def test_rounded(value, expected):
    assert rounded(value) == expected


@pytest.mark.parametrize(
    "count, most, steps",
    [(3, 5, [0, 1, 2]), (10, 5, [1, 3, 5, 7, 9]), (11, 5, [1, 4, 7, 10]), (0, 5, [])],
)
def test_thinned_curves_keep_their_end(count, most, steps):
    assert [step for step, _ in thinned([(i, 1.0) for i in range(count)], most)] == steps


def test_a_row_for_every_trial_and_columns_that_differ():
    records = [make_record(2), make_record(3, quality=0.65), make_failed(4)]
    table = trials_table(map(trial_row, records), ["quality", "retention"])
    assert [row["state"] for row in table["rows"]] == ["complete", "complete", "failed"]
    assert table["varied"] == ["parallel_size"] and table["measures"] == ["retention.animacy"]
    assert table["same"]["mono_ratio"] == 0 and "parallel_size" not in table["same"]
    assert table["rows"][1]["scores"]["quality"] == {"value": 0.65, "low": 0.64, "high": 0.66}
    assert table["rows"][1]["recipe"] == {"parallel_size": 2000}
    assert table["rows"][2]["reason"].startswith("TrainError") and not table["rows"][2]["scores"]


def test_many_points_are_compared_in_objectives_alone(monkeypatch):
    from pathlib import Path

    from mtray.report.front_builder import build_front

    front = build_front(make_run(5), make_study(), Path("run"))
    small = page_front(front)["points"][0]["differences"]
    assert "bleu.en-uk" in small["0"]
    monkeypatch.setattr("mtray.report.page_front.MANY", 4)
    large = page_front(front)["points"][0]["differences"]
    assert set(large["0"]) == {"quality", "retention"} and "bleu.en-uk" in large["-1"]
