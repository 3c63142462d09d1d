#!/usr/bin/env python3
"""CPU time of one suggestion by the number of finished trials.

    python benchmarks/search_size.py [--trials 100 200 500 2000]

The objectives are quadratic functions with noise, the values of random points.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution

from mtray.search.strategy.cost_aware import Observation, Observations, SearchDomain, suggest
from mtray.search.strategy.samplers import space_filling
from mtray.search_space.shares import ShareDistribution

# parameters, weights on a simplex, objectives, constraints
SPACES = ((5, 0, 2, 0), (5, 0, 3, 1), (5, 17, 2, 0), (5, 17, 3, 1))


def seconds(trials: int, parameters: int, weights: int, objectives: int, limits: int) -> float:
    """CPU seconds of one suggestion."""
    space: dict[str, BaseDistribution] = {
        f"p{i}": FloatDistribution(0.0, 1.0) for i in range(parameters)
    }
    space |= {f"w{i}": ShareDistribution("weights", 1.0, weights) for i in range(weights)}
    rng = np.random.default_rng(0)
    best = rng.random((objectives, len(space)))
    ended = []
    for point in space_filling(space, trials, seed=1):
        away = np.array([*point.values()]) - best
        values = -(away**2).sum(axis=1) + 0.02 * rng.standard_normal(objectives)
        over = {f"limit{i}": float(point["p0"]) - 0.8 for i in range(limits)}
        ended.append((point, Observation(values.tolist(), float(rng.lognormal()), over)))
    known = Observations(ended, [], [1.0] * objectives)
    began = time.process_time()
    suggest(SearchDomain(space, {"p0": 0.3}), known, seed=1)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 200, 500, 2000])
    args = parser.parse_args()
    heads = [f"{p} + {w} weights, {m} objectives, {c} limits" for p, w, m, c in SPACES]
    print(f"| trials | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for trials in args.trials:
        found = " | ".join(f"{seconds(trials, *space):.2f}" for space in SPACES)
        print(f"| {trials:,} | {found} |", flush=True)


if __name__ == "__main__":
    main()
