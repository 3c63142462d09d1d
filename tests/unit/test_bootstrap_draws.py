"""Bootstrap draws of a run's trials on disk."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtray.report import bootstrap_draws
from mtray.report.bootstrap_draws import draws_of, read_draws, write_draws
from mtray.run_files import DRAWS_FILE, trial_dir

NAMES = ["quality", "retention"]


def make_draws(seed):
    return {"quality": np.random.default_rng(seed).normal(0.5, 0.1, 200), "retention": np.ones(200)}


def test_draws_come_back_by_name(tmp_path):
    draws = make_draws(1)
    write_draws(tmp_path, 3, draws)
    found = read_draws(tmp_path, 3, [*NAMES, "chrf"])
    assert set(found) == set(NAMES)
    for name in NAMES:
        np.testing.assert_allclose(found[name], draws[name], rtol=1e-6)
    assert set(draws_of(tmp_path)(3, ["retention"])) == {"retention"}
    assert read_draws(tmp_path, 3, ["chrf"]) == read_draws(tmp_path, 4, NAMES) == {}


def test_a_report_reads_a_file_once(tmp_path):
    write_draws(tmp_path, 3, make_draws(1))
    draws = draws_of(tmp_path)
    first = draws(3, NAMES)
    write_draws(tmp_path, 3, make_draws(2))
    np.testing.assert_array_equal(draws(3, ["quality"])["quality"], first["quality"])
    fresh = draws_of(tmp_path)(3, ["quality"])["quality"]
    assert abs(fresh - first["quality"]).max() > 0.01


def test_draws_of_an_earlier_version_are_not_paired_with_these(tmp_path):
    file = trial_dir(tmp_path, 3) / DRAWS_FILE
    file.parent.mkdir(parents=True)
    pq.write_table(pa.table(make_draws(1)), file)
    assert read_draws(tmp_path, 3, NAMES) == {}


@pytest.mark.parametrize("kept", [1 << 20, 0])
def test_every_trial_is_read_once_and_again_when_its_file_has_changed(tmp_path, monkeypatch, kept):
    read = []
    whole = bootstrap_draws._stored_draws
    monkeypatch.setattr(bootstrap_draws, "KEPT", kept)
    monkeypatch.setattr(
        bootstrap_draws, "_stored_draws",
        lambda folder, number, names: read.append(number) or whole(folder, number, names),
    )  # fmt: skip
    for number in range(5):
        write_draws(tmp_path, number, make_draws(number))
    draws = draws_of(tmp_path)
    for _ in range(3):
        for number in (*range(5), 9):  # trial 9 has none
            expected = read_draws(tmp_path, number, NAMES)
            found = draws(number, NAMES)
            assert found.keys() == expected.keys()
            assert all((found[name] == expected[name]).all() for name in found)
    here = [number for number in read if number != 9]
    assert len(here) == 15 + (5 if kept else 15), "15 of them by `read_draws` itself"
    read.clear()
    write_draws(tmp_path, 3, make_draws(33))
    draws.look_again()
    for number in range(5):
        assert (draws(number, ["quality"])["quality"] == draws(number, NAMES)["quality"]).all()
    assert abs(draws(3, ["quality"])["quality"] - make_draws(33)["quality"]).max() < 1e-6
    assert set(read) == ({3} if kept else set(range(5)))
