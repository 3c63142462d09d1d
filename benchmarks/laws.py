"""The laws of the default study, from its recipe table: exponents, critical ratios, leave-one-out
predictions, and fits to one half of the recipes checked on the other.

python benchmarks/laws.py
python benchmarks/laws.py --table FILE --recipes 14 --measures quality,retention
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from table_evidence import table_evidence
from table_summary import OBJECTIVES, TABLE

from mtray.analysis.laws import law, loss_shape, quality_shape
from mtray.analysis.leave_one_out import held_out
from mtray.analysis.shared_errors import own_errors
from mtray.report.evidence import Evidence
from mtray.report.laws import LIMIT, LawSettings, critical_values, law_lines, laws, points_of
from mtray.search_space.space import load_space
from mtray.study import load_study

Array = npt.NDArray[np.float64]
ROOT = Path(__file__).resolve().parent.parent
STUDY, SPACE = ROOT / "sweeps" / "default.yaml", ROOT / "search_spaces" / "ratio.yaml"


def halves(found: Evidence, seed: int) -> list[str]:
    """What is fitted to one half of the recipes, on the other."""
    rows, points = points_of([record.recipe for record in found.records])
    known = np.random.default_rng(seed).permutation(len(rows)) < len(rows) // 2
    lines = []
    for place, name in enumerate(OBJECTIVES):
        values, errors = found.gap(name)[rows], found.errors[:, rows, place]
        covariance = own_errors(found.covariance(name)[np.ix_(rows, rows)])
        shape = loss_shape if name == "retention" else quality_shape
        fitted = law(shape, points[known], values[known], errors[:, known])
        new = held_out(fitted.refit(), points, values, covariance, known)
        lines.append(
            f"split {seed}, {name}: off by {new.rmse:.4f} on {(~known).sum()} recipes, "
            f"{new.coverage:.0%} within the 95 % interval"
        )
        if name == "retention":
            lines += _checked(fitted, points[~known], values[~known])
            lines += [f"  {half}: {c.text}" for half, c in _both(points, values, errors, known)]
    return lines


def _checked(fitted: Any, points: Array, values: Array) -> list[str]:
    """Whether recipes whose replay is above the critical fraction at their own size, rate, ratio
    and frozen layers lose at most the limit."""
    predicted, lost = -fitted.gaps(points) <= LIMIT, -values <= LIMIT
    chances = (-fitted.drawn_gaps(points) <= LIMIT).mean(axis=0)
    return [
        f"  at most {LIMIT} lost: predicted of {predicted.sum()}, true of "
        f"{(predicted & lost).sum()} of these, and of {(~predicted & lost).sum()} of the "
        f"{(~predicted).sum()} others; said on average {chances.mean():.2f}, was {lost.mean():.2f}"
    ]


def _both(points: Array, values: Array, errors: Array, known: Any) -> list[tuple[str, Any]]:
    space = load_space(SPACE, load_study(STUDY).defaults)
    out = []
    for half, chosen in (("fitted half", known), ("other half", ~known)):
        fitted = law(loss_shape, points[chosen], values[chosen], errors[:, chosen])
        out += [(half, c) for c in critical_values(fitted, points, space)]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--recipes", type=int, help="the first so many; default: all")
    parser.add_argument("--measures", help="comma-separated; default: all")
    parser.add_argument("--splits", type=int, default=3)
    args = parser.parse_args()
    study = load_study(STUDY)
    found = table_evidence(args.table, args.recipes)
    measures = args.measures.split(",") if args.measures else None
    print(
        "\n".join(
            law_lines(laws(found, study, load_space(SPACE, study.defaults), LawSettings(measures)))
        )
    )
    for seed in range(args.splits):
        print("\n" + "\n".join(halves(found, seed)))


if __name__ == "__main__":
    main()
