"""Bootstrap draws of a run's trials on disk."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
