"""A made-up table for the tests of the search benchmark, whose modules lie in `benchmarks`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

RUNGS = (0, 1, 2)


def rows(points=6, fidelities=RUNGS):
    """Configuration i has x = i; `max_a` rises and `max_b` falls with x, but for the last point,
    which is the worst in both. A fidelity costs 10 more than the one before."""
    out = []
    for i in range(points):
        bad = i == points - 1
        for k in fidelities:
            out.append({
                "config": f"c{i}", "fidelity": k, "cost": 10.0 * (k + 1), "p_x": i, "p_y": 0.5 * i,
                "max_a": (-1.0 if bad else float(i)) + 0.1 * k, "max_b": -1.0 if bad else 5.0 - i,
            })  # fmt: skip
    return out
