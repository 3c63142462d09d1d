"""The regret of a sweep's recommendation, on the recipe table: sweeps of 14, 30 and 60 trials are
drawn from it, and the recipe chosen by each method is compared with the best.

python benchmarks/answers.py
python benchmarks/answers.py --table FILE --sweeps 40 --settle 100

A sweep consists of the base model, the baselines and recipes drawn at random, one seed each. The
truth is the response surface of the whole table, all seeds, on the same segments. The worth of a
recipe is the sum of its true objectives, each divided by the range of base model, baselines and the
true front; regret is the worth of the best recipe of the table minus that of the chosen one. (A
sweep's measurements are part of that truth, which favours observed values.)
`--settle`: sweeps of 14 recipes simulated about that truth, with errors of segments and seeds as in
the table. They train repeats until their answer holds with probability .95, or until as many
repeats as recipes are spent.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from table_evidence import evidence_of
from table_summary import TABLE, Row, groups, read_table

from mtray.analysis.decision import MARGIN, scales, worth
from mtray.analysis.laws import law, loss_shape, quality_shape
from mtray.analysis.uncertainty import TAILS
from mtray.report.answer import answer, next_repeat
from mtray.report.evidence import Evidence
from mtray.report.laws import points_of
from mtray.report.posterior import JointPosterior, joint_posterior
from mtray.report.surface import ModelledRun, modelled
from mtray.schema import Study
from mtray.search_space.space import Space, load_space
from mtray.study import load_study

Array = npt.NDArray[np.float64]
ROOT = Path(__file__).resolve().parent.parent
STUDY, SPACE = ROOT / "sweeps" / "default.yaml", ROOT / "search_spaces" / "ratio.yaml"
TRIALS = (14, 30, 60)
NAMES = ("quality", "retention")
EDGES = (0.05, 0.2, 0.5, 0.8, 0.95)  # of probabilities
UNTOUCHED = np.zeros(len(NAMES))


@dataclass(frozen=True)
class Truth:
    """Of the whole table: `whole` with the segments taken as given, `measured` with their errors.

    - `surface`: of all its recipes and seeds.
    - `gaps`, shape (recipes, 2): their true differences to the untouched model.
    - `scale`, shape (2,): what a unit of worth is.
    """

    study: Study
    space: Space
    whole: Evidence
    measured: Evidence
    surface: ModelledRun
    gaps: Array
    scale: Array

    def worth(self, gaps: Array) -> Array:
        return worth(gaps, self.scale)

    @property
    def best(self) -> Array:
        """What is worth most, the untouched model among them, shape (2,)."""
        found = np.vstack([self.gaps, UNTOUCHED])
        return np.asarray(found[int(np.argmax(self.worth(found)))])


def truth_of(rows: Sequence[Row]) -> Truth:
    study = load_study(STUDY)
    space = load_space(SPACE, study.defaults)
    whole = evidence_of(rows, groups(rows), given=True)
    surface = modelled(whole, space, NAMES)
    gaps = surface.predict([record.recipe for record in whole.records])[0]
    measured = evidence_of(rows, groups(rows))
    return Truth(study, space, whole, measured, surface, gaps, scales(gaps, _anchors(whole, gaps)))


def _anchors(found: Evidence, gaps: Array) -> Array:
    """The base model and the baselines."""
    return np.vstack([UNTOUCHED, gaps[list(found.baselines)]])


def part(whole: Evidence, places: Sequence[int]) -> Evidence:
    """Some recipes of the evidence."""
    rows = list(places)
    return replace(
        whole, records=tuple(whole.records[i] for i in rows), gaps=whole.gaps[rows],
        seeds=tuple(whole.seeds[i] for i in rows), errors=whole.errors[:, rows],
    )  # fmt: skip


# a way of choosing: from a sweep's evidence and belief to what it takes (the place in the sweep;
# -1: the untouched model) and what it claims of it, shape (2,)
Choose = Callable[[Evidence, JointPosterior, Truth], tuple[int, Array]]


def by_observed(found: Evidence, _: JointPosterior, truth: Truth) -> tuple[int, Array]:
    return _greatest(found, _columns(found))


def by_posterior(found: Evidence, believed: JointPosterior, truth: Truth) -> tuple[int, Array]:
    best = believed.choice.best
    return best - 1, believed.means[best]


def by_law(found: Evidence, _: JointPosterior, truth: Truth) -> tuple[int, Array]:
    rows, points = points_of([record.recipe for record in found.records])
    gaps = np.full((len(found.records), len(NAMES)), -np.inf)
    for k, (name, shape) in enumerate(zip(NAMES, (quality_shape, loss_shape), strict=True)):
        errors = found.errors[:, rows, found.names.index(name)]
        gaps[rows, k] = law(shape, points, found.gap(name)[rows], errors).gaps(points)
    return _greatest(found, gaps)


def _greatest(found: Evidence, gaps: Array) -> tuple[int, Array]:
    """By worth in units of their own reach, the untouched model last."""
    every = np.vstack([gaps, UNTOUCHED])
    chosen = int(np.argmax(worth(every, scales(gaps, _anchors(found, gaps)))))
    return (-1 if chosen == len(gaps) else chosen), every[chosen]


def _columns(found: Evidence) -> Array:
    return found.gaps[:, [found.names.index(name) for name in NAMES]]


WAYS: Mapping[str, Choose] = {
    "observed values": by_observed, "posterior": by_posterior, "law": by_law,
}  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A sweep drawn from the table: its evidence, what is believed, and `gaps`, shape (trials, 2),
    the true differences of its recipes."""

    sweep: Evidence
    believed: JointPosterior
    gaps: Array


def drawn_sweeps(rows: Sequence[Row], truth: Truth, trials: int, sweeps: int) -> Iterator[Drawn]:
    """Sweeps of the baselines and random recipes, one seed each."""
    first = evidence_of(rows, [group[:1] for group in groups(rows)])
    roles = [record.role for record in first.records]
    baselines = [i for i, role in enumerate(roles) if role != "search"]
    searched = [i for i, role in enumerate(roles) if role == "search"]
    for seed in range(sweeps):
        drawn = np.random.default_rng(seed).permutation(searched)[: trials - len(baselines)]
        places = [*baselines, *map(int, drawn)]
        sweep = part(first, places)
        believed = joint_posterior(sweep, truth.study.objectives, truth.space)
        yield Drawn(sweep, believed, truth.gaps[places])


def regrets(drawn: Sequence[Drawn], truth: Truth) -> dict[str, Array]:
    """By way of choosing, shape (sweeps, 4): regret in worth, quality and retention, and what is
    claimed too much of worth. `untried`: what is predicted to be best and was not trained."""
    found: dict[str, list[Array]] = {way: [] for way in (*WAYS, "untried")}
    for each in drawn:
        true = np.vstack([each.gaps, UNTOUCHED])
        for way, choose in WAYS.items():
            chosen, claimed = choose(each.sweep, each.believed, truth)
            found[way].append(_regret(truth, true[chosen], claimed))
        untried = truth.surface.predict(each.believed.untried[:1])[0][0]
        claimed = each.believed.means[len(each.believed.numbers)]
        found["untried"].append(_regret(truth, untried, claimed))
    return {way: np.array(values) for way, values in found.items()}


def better(drawn: Sequence[Drawn]) -> tuple[Array, Array]:
    """Of all recipes but the first baseline, in both objectives: the probability that it is better
    than that, and whether it is, each flat."""
    said, true = [], []
    for each in drawn:
        one = each.sweep.baselines[0]
        others = [i for i in range(len(each.gaps)) if i != one]
        draws = each.believed.draws[:, 1 : len(each.gaps) + 1]
        said.append((draws[:, others] > draws[:, [one]]).mean(axis=0).ravel())
        true.append((each.gaps[others] > each.gaps[one]).ravel())
    return np.concatenate(said), np.concatenate(true)


def better_line(trials: int, drawn: Sequence[Drawn]) -> str:
    """By the probability: how often it was right, and of how many."""
    said, true = better(drawn)
    place = np.digitize(said, EDGES)
    cells = [
        f"{said[place == k].mean():.2f}: {true[place == k].mean():.2f} ({(place == k).sum()})"
        if (place == k).any() else "-"
        for k in range(len(EDGES) + 1)
    ]  # fmt: skip
    return f"| {trials} | {' | '.join(cells)} |"


def _regret(truth: Truth, true: Array, claimed: Array) -> Array:
    short = truth.best - true
    return np.array([truth.worth(short), *short, truth.worth(claimed - true)])


def interval(values: Array) -> str:
    """Mean and 95 % interval over the sweeps."""
    draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.quantile(draws, TAILS)
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def regret_lines(rows: Sequence[Row], truth: Truth, sweeps: int) -> list[str]:
    lines = [
        "| trials | chosen by | regret in worth | in quality | in retention | claimed too much |",
        "|---|---|---|---|---|---|",
    ]
    sure = [
        "",
        "P(better than the first baseline), mean of those between the edges, how often it is true, "
        "and of how many; trained recipes, both objectives:",
        "",
        "| trials | " + " | ".join(f"to {edge:g}" for edge in (*EDGES, 1)) + " |",
        "|" + "---|" * (len(EDGES) + 2),
    ]
    for trials in [n for n in TRIALS if n < len(truth.whole.records)]:
        drawn = list(drawn_sweeps(rows, truth, trials, sweeps))
        for way, values in regrets(drawn, truth).items():
            cells = " | ".join(interval(values[:, k]) for k in range(values.shape[1]))
            lines.append(f"| {trials} | {way} | {cells} |")
        sure.append(better_line(trials, drawn))
    return lines + sure


def settled(truth: Truth, recipes: int, seed: int) -> tuple[bool, bool, int]:
    """Of one simulated sweep: whether its answer came to hold with .95, whether no other of its
    recipes is truly worth more by over the margin, and how many repeats it took."""
    rng = np.random.default_rng(seed)
    roles = [record.role for record in truth.whole.records]
    searched = [i for i, role in enumerate(roles) if role == "search"]
    places = [i for i, role in enumerate(roles) if role != "search"]
    places += map(int, rng.permutation(searched)[: recipes - len(places)])
    sweep, true = part(truth.measured, places), truth.gaps[places]
    columns = [sweep.names.index(name) for name in NAMES]
    by_seed, errors = sweep.seed_deviation[columns], sweep.errors[:, :, columns]
    # what the table's own seeds have no part in
    by_seeds = by_seed**2 / np.array(sweep.seeds)[:, None]
    of_segments = errors * np.sqrt(np.maximum(1 - by_seeds / errors.var(axis=0), 0))
    off = of_segments[rng.integers(len(errors))]
    values = [[t + o + rng.normal(0, by_seed)] for t, o in zip(true, off, strict=True)]
    spent, most = 0, recipes
    while True:
        seeds = tuple(len(found) for found in values)
        draws = rng.normal(0, 1, of_segments.shape)
        drawn = of_segments + draws * by_seed / np.sqrt(np.array(seeds))[:, None]
        known = Evidence(
            records=sweep.records, seeds=seeds, names=NAMES, base=sweep.base[columns],
            gaps=np.array([np.mean(found, axis=0) for found in values]), errors=drawn,
            seed_deviation=by_seed,
        )  # fmt: skip
        believed = joint_posterior(known, truth.study.objectives, truth.space)
        told = answer(believed)
        again = next_repeat(believed, known.numbers)
        if told.settled or again is None or spent == most:
            break
        place = known.numbers.index(again)
        values[place].append(true[place] + off[place] + rng.normal(0, by_seed))
        spent += 1
    worths = truth.worth(np.vstack([UNTOUCHED, true]))
    return told.settled, worths[believed.choice.best] >= worths.max() - MARGIN, spent


def settle_lines(truth: Truth, sweeps: int, recipes: int = TRIALS[0]) -> list[str]:
    found = [settled(truth, recipes, seed) for seed in range(sweeps)]
    held = [right for is_settled, right, _ in found if is_settled]
    open_ = [right for is_settled, right, _ in found if not is_settled]
    spent = [count for is_settled, _, count in found if is_settled]
    right = f"{np.mean(held):.2f}" if held else "-"
    return [
        f"--settle 0.95 over {sweeps} simulated sweeps of {recipes} recipes, at most as many "
        f"repeats: {len(held)} settled, after {np.mean(spent) if spent else 0:.1f} repeats on "
        f"average, and {right} of these right; of the {len(open_)} others "
        f"{np.mean(open_) if open_ else 0:.2f} right"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--sweeps", type=int, default=40)
    parser.add_argument("--settle", type=int, default=40, help="simulated sweeps")
    args = parser.parse_args()
    rows = read_table(args.table)[0]
    truth = truth_of(rows)
    reach = ", ".join(f"{n} {s:.4f}" for n, s in zip(NAMES, truth.scale, strict=True))
    print(f"{len(truth.whole.records)} recipes; a unit of worth is {reach}\n")
    print("\n".join(regret_lines(rows, truth, args.sweeps)), "\n")
    print("\n".join(settle_lines(truth, args.settle)))


if __name__ == "__main__":
    main()
