"""`front` and `export`: what is compared with what, every trial, and JSON."""

import csv
import json

import pytest
from records_factory import make_baselines, make_failed, make_record, make_study

from mtray.cli import main
from mtray.report.front import Front
from mtray.report.records import write_record
from mtray.search.ledger.run_folder import bind
from mtray.search_space.parameters import IntRange
from mtray.search_space.space import Space

SPACE = Space(parameters={"parallel_size": IntRange(type="int", low=100, high=2000, log=True)})


@pytest.fixture
def run_dir(tmp_path):
    bind(tmp_path, make_study(), SPACE)
    (tmp_path / ".lock").touch()
    for record in [*make_baselines(), make_record(2, 0.66, 0.7), make_failed(3)]:
        write_record(tmp_path, record)
    return tmp_path


SHOWN = {
    "the base model": ([], ["quality_vs_base", "+0.240 [", "0.420 ["]),
    "a baseline": (["--against", "parallel_only"], ["quality_vs_parallel_only", "+0.045 ["]),
    "a trial": (["--against", "2"], ["quality_vs_2", "0.660 [", "-0.240 ["]),
    "absolute": (["--absolute"], ["number  mark   role             quality ", "0.660 ["]),
    "every trial": (["--all"], ["retention.animacy", "+0.240 [", "Differences to: base model"]),
    "every trial, absolute": (["--all", "--absolute"], ["0.660 [0.650, 0.670]"]),
}


@pytest.mark.parametrize(("options", "expected"), SHOWN.values(), ids=list(SHOWN))
def test_what_is_shown(run_dir, capsys, options, expected):
    before = sorted(run_dir.rglob("*"))
    assert main(["front", str(run_dir), *options]) == 0
    out = capsys.readouterr().out
    assert all(text in out for text in expected)
    assert sorted(run_dir.rglob("*")) == before


def test_json_holds_the_front_or_every_trial(run_dir, capsys):
    assert main(["front", str(run_dir), "--json", "--against", "1"]) == 0
    front = Front.model_validate(json.loads(capsys.readouterr().out))
    assert front.reference == 1
    assert front.point(2).differences[1]["quality"].gap == pytest.approx(0.03)
    assert main(["front", str(run_dir), "--json", "--all"]) == 0
    assert [t["number"] for t in json.loads(capsys.readouterr().out)["trials"]] == [-1, 0, 1, 2]


def test_export_shows_what_was_asked_for(run_dir, tmp_path):
    def reference(*options):
        folder = tmp_path / "out"
        assert main(["export", str(run_dir), "--out", str(folder), *options]) == 0
        rows = {r["number"]: r for r in csv.DictReader((folder / "front.csv").open())}
        assert float(rows["2"]["quality_gain"]) == pytest.approx(0.24), "always over the base model"
        return json.loads((folder / "front.json").read_text())["reference"]

    assert [reference(), reference("--against", "0"), reference("--absolute")] == [-1, 0, None]


def test_a_recipe_that_is_not_there_is_a_mistake(run_dir, capsys):
    assert main(["front", str(run_dir), "--against", "uniform"]) == 2
    assert "--against uniform: no complete recipe is called that; allowed: base, parallel_only" in (
        capsys.readouterr().err
    )
    with pytest.raises(SystemExit):
        main(["front", str(run_dir), "--against", "base", "--absolute"])
