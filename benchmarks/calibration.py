"""Calibration of mtray's statistics on simulated sweeps with a known truth.

Whole sweeps go through the real code, from segment scores to the front's sentences.

    python benchmarks/calibration.py                       # every scenario, 400 sweeps each
    python benchmarks/calibration.py --only "no effect" --sweeps 50 --jobs 2
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from math import sqrt
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from calibration_sweeps import OBJECTIVES, Scenario, Sweep, simulate

from mtray.schema import Score

SCENARIOS = (
    Scenario("no effect, no repeat", repeats=0),
    Scenario("no effect, two repeats", repeats=2),
    Scenario("no effect, three repeats"),
    Scenario("no effect, seeds vary half as much", luck=0.5),
    Scenario("no effect, seeds vary twice as much", luck=2.0),
    Scenario("no effect, seeds vary twice as much, no repeat", luck=2.0, repeats=0),
    Scenario("seeds vary up to twice more or less by recipe", unequal=2.0),
    Scenario("stopped early: 5 trials", searched=1, repeats=0),
    Scenario("best of 30 equal recipes", searched=30, repeats=6),
    Scenario("two directions on the same sentences", directions=2, shared=0.8),
    Scenario("reversion to two alphas", alphas=(0.25, 0.5), between=(0.01, 0.05)),
    Scenario("checkpoints at two shares", early=(0.25, 0.5), between=(0.01, 0.05)),
    Scenario(
        "checkpoints, seeds vary twice as much", early=(0.25, 0.5), between=(0.01, 0.05), luck=2.0
    ),
    Scenario("one recipe keeps .10 more, three repeats", gain=(0.0, 0.10), good=1),
    Scenario("one recipe keeps .10 more, two repeats", gain=(0.0, 0.10), good=1, repeats=2),
    Scenario("one recipe keeps .10 more, no repeat", gain=(0.0, 0.10), good=1, repeats=0),
    Scenario("recipes differ", between=(0.010, 0.05)),
    Scenario("small sets: 40 segments", segments=40),
)


def _nothing() -> list[int]:
    return [0, 0]


@dataclass
class Tally:
    """What sweeps said.

    - `counts`: of things that happened or not, by name: [times, of].
    - `values`: of numbers.
    - `shares`: of things, by sweep: what is of one sweep has its test set in common, so that
      standard errors are over sweeps.
    - `chances`: P(front), and whether it was so.
    """

    counts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(_nothing))
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    shares: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    chances: list[tuple[float, bool]] = field(default_factory=list)

    def saw(self, name: str, happened: bool) -> None:
        self.counts[name][0] += bool(happened)
        self.counts[name][1] += 1

    def add(self, other: Tally) -> None:
        for name, (times, of) in other.counts.items():
            self.counts[name][0] += times
            self.counts[name][1] += of
            self.shares[name].append(times / of)
        for name, values in other.values.items():
            self.values[name].append(float(np.mean(values)))
        self.chances += other.chances

    def share(self, name: str) -> float:
        times, of = self.counts[name]
        return times / of if of else float("nan")


def holds(score: Score, truth: float) -> bool:
    return score.low <= truth <= score.high


def judged(sweep: Sweep) -> Tally:
    """What one sweep said that was true, and what was not."""
    tally, front = Tally(), sweep.front
    truths = {point.number: sweep.truth[point.number] for point in front.points}
    for point in front.points:
        quality, kept = truths[point.number]
        for name, score in (point.scores | point.objectives).items():
            if point.role == "base" and name.startswith("retention"):
                continue
            truth = kept if name.startswith("retention") else quality
            kind = "retention of an ability" if name.startswith("retention.a") else name
            tally.saw(
                f"covers: {'comet' if name.startswith('comet') else kind}", holds(score, truth)
            )
        if point.role != "base":
            tally.values["retention - truth"].append(point.objectives["retention"].value - kept)
            for k, name in enumerate(OBJECTIVES):
                found = sweep.joint.difference(point.number, -1, name)
                truth = truths[point.number][k] - truths[-1][k]
                tally.saw("covers: difference to base", found.low <= truth <= found.high)
    wrong, seen, all_hold = False, False, True
    for comparison in front.comparisons:
        for gain in comparison.gains:
            if gain.number is None:
                continue
            k = OBJECTIVES.index(gain.objective)
            truth = truths[gain.number][k] - truths[comparison.number][k]
            all_hold &= gain.low <= truth <= gain.high
            wrong |= gain.verdict == "better" and truth <= 1e-12
            seen |= gain.verdict == "better" and truth > 1e-12 and k == 1
    tally.saw("better, falsely", wrong)
    tally.saw("better, truly", seen)
    tally.saw("all gains hold", all_hold)
    tally.saw("all pairs hold", family_holds(sweep, truths))
    for point in front.points:
        if any(sweep.scenario.between):  # where all are equal, no recipe dominates another
            tally.chances.append((point.p_front, on_true_front(point.number, truths)))
    return tally


def family_holds(sweep: Sweep, truths: dict[int, tuple[float, float]]) -> bool:
    """Whether the intervals of all pairs of a recipe and a baseline hold at once."""
    searched = [p.number for p in sweep.front.points if p.role == "search"]
    baselines = [p.number for p in sweep.front.points if p.role != "search"]
    stretch = sweep.joint.stretch(searched, baselines)
    for a in searched:
        for b in baselines:
            for k, name in enumerate(OBJECTIVES):
                found = sweep.joint.difference(a, b, name)
                off = truths[a][k] - truths[b][k] - found.gap
                side = (found.high if off > 0 else found.low) - found.gap
                if abs(off) > stretch * abs(side) + 1e-12:
                    return False
    return True


def on_true_front(number: int, truths: dict[int, tuple[float, float]]) -> bool:
    own = truths[number]
    return not any(
        all(o >= m for o, m in zip(other, own, strict=True)) and other != own
        for other in truths.values()
    )


def run(scenario: Scenario, seed: int) -> Tally:
    return judged(simulate(scenario, seed))


def reliability(chances: Sequence[tuple[float, bool]], bins: int = 5) -> Iterable[str]:
    """P(front) in bins: what it says on average, and how often it was so."""
    found = np.array(chances, dtype=float)
    place = np.minimum((found[:, 0] * bins).astype(int), bins - 1)
    for b in range(bins):
        here = found[place == b]
        if len(here):
            yield f"{here[:, 0].mean():.2f}->{here[:, 1].mean():.2f} ({len(here)})"


def lines(scenario: Scenario, tally: Tally, seconds: float) -> list[str]:
    out = [f"## {scenario.name}  ({seconds:.0f} s)"]
    bias = np.array(tally.values["retention - truth"])
    out.append(f"  retention - truth: {bias.mean():+.4f} +- {bias.std() / sqrt(len(bias)):.4f}")
    for name, (_, of) in sorted(tally.counts.items()):
        error = np.std(tally.shares[name]) / sqrt(len(tally.shares[name]))
        out.append(f"  {name}: {tally.share(name):.3f} +- {error:.3f} ({of})")
    if tally.chances:
        out.append(f"  P(front) said -> was: {'; '.join(reliability(tally.chances))}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sweeps", type=int, default=400)
    parser.add_argument("--only", default="", help="a part of a scenario's name")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--resamples", type=int)
    args = parser.parse_args()
    with ProcessPoolExecutor(args.jobs) as pool:
        for scenario in SCENARIOS:
            if args.only not in scenario.name:
                continue
            if args.resamples:
                scenario = replace(scenario, resamples=args.resamples)
            start, tally = time.time(), Tally()
            for found in pool.map(partial(run, scenario), range(args.sweeps), chunksize=4):
                tally.add(found)
            print("\n".join(lines(scenario, tally, time.time() - start)), flush=True)


if __name__ == "__main__":
    main()
