"""The benchmark of many trials, with few."""

import numpy as np
import pytest
import search_factory  # noqa: F401  (knows where the benchmarks lie)

from mtray.analysis.pareto import non_dominated

import scale  # isort: skip


def test_the_front_that_is_kept_is_the_front_of_all():
    rng, front, values = np.random.default_rng(1), scale.Front(), []
    params = {"mono_ratio": 0.5, "replay_fraction": 0.1}
    for _ in range(60):
        found = scale.objective({**params, "parallel_size": int(rng.integers(128, 4096))}, rng)
        values.append(found)
        front.add(found)
    every = np.array(values)[non_dominated(values)]
    assert sorted(map(tuple, front.values)) == sorted(map(tuple, every))


@pytest.mark.parametrize("side", ["random", "nsga2", "ledger", "replicates"])
def test_every_side_runs_to_its_last_trial(side):
    found = scale.measure(side, trials=20, concurrent=3)
    assert [row["trials"] for row in found["rows"]] == [2, 10, 20]
    assert all(row["ms"] > 0 for row in found["rows"]) and found["front"] > 1
    assert found["peak_mib"] > 10 and scale.line(found).startswith(f"| {side} |")
