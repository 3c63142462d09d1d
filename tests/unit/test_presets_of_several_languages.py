"""The presets 004, 2305.15083 and 2410.16006 at every scale: studies, spaces and recipes fit."""

import pytest

from mtray.commands.paper import awaited_run
from mtray.embedded.help_packages import HELP_VERSION, HELP_VERSION_VARIABLE, PACKAGES
from mtray.errors import DataError
from mtray.papers import cross_language_tasks
from mtray.papers.composition import composed, written
from mtray.papers.preset import SCALES, load_preset
from mtray.papers.reports import CODE
from mtray.search_space.given_recipes import given_points
from mtray.search_space.space import load_space
from mtray.study import load_study

# trainings at every scale
TRAININGS = {"004": (9, 18, 18), "2305.15083": (12, 12, 18), "2410.16006": (17, 17, 17)}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("paper", TRAININGS)
def test_every_scale_is_a_sweep(paper, scale, tmp_path):
    preset = load_preset(paper)
    count = 0
    for run in composed(preset, scale, tmp_path / "data"):
        study_path, space_path = written(run, tmp_path, "test")
        study = load_study(study_path)
        space = load_space(space_path, study.defaults, study.sources)
        count += len(given_points(space, study.budget.recipes))
        assert study.budget.trials == len(study.budget.recipes) > 0
    assert count == TRAININGS[paper][SCALES.index(scale)]
    assert CODE[paper].prepare is not None


def test_the_languages_of_the_help():
    """Every file of the help that a scale reads is of two languages that are fetched."""
    preset = load_preset("2305.15083")
    used = {scale: str(preset.values["directions"][scale]) for scale in ("small", "full")}
    for text in used.values():
        pairs = [part[:5].split("-") for part in text.split("help.")[1:]]
        assert pairs and all(set(pair) <= set(PACKAGES) for pair in pairs)
        order = list(PACKAGES)
        assert all(order.index(a) < order.index(b) for a, b in pairs), "as the files are named"


def test_texts_of_another_version_of_the_help_are_not_taken(tmp_path, monkeypatch):
    done = tmp_path / "tiny" / "complete"
    done.parent.mkdir()
    for content in ("", f"{HELP_VERSION}\n"):  # empty: of an earlier mtray, which pinned it
        done.write_text(content)
        monkeypatch.delenv(HELP_VERSION_VARIABLE, raising=False)
        cross_language_tasks.prepare(tmp_path, None, "tiny")
        monkeypatch.setenv(HELP_VERSION_VARIABLE, "4:25.2-3")
        with pytest.raises(DataError, match=r"and 4:25\.2-3 is asked for; remove that folder"):
            cross_language_tasks.prepare(tmp_path, None, "tiny")


def test_a_study_that_begins_with_a_run_waits_for_it(tmp_path):
    assert awaited_run("embedded", tmp_path) is None
    assert awaited_run("run:first/0", tmp_path) == "first"
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "study.json").write_text("{}")
    assert awaited_run("run:first/0", tmp_path) is None
