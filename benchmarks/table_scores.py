"""The recipe table: a row for each trial, from its stored files.

Columns of scores are `NAME` (the value), `NAME/low` and `NAME/high` (its 95 % interval),
`NAME/variance` (of its bootstrap draws) and `NAME/paired` (the variance of the draws of its
difference to the base model on the same segments). A further seed has `NAME/apart` (the same for
its difference to the recipe's first seed). Objectives and abilities have `NAME/factors` (a vector
whose products with other trials' are the covariances of those differences, as far as `RANK` numbers
can represent them; `NAME/paired` minus its square is the trial's own part). `covariance/A/B` is
that of the draws of two objectives. Columns of a rung have the prefix `rung1/` or `rung2/`. The
base model's are measured on the rung's segments.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from table_plan import SEGMENTS, SHARES
from table_summary import FACTORS
from table_trials import Kept, rung_file

from mtray.analysis.uncertainty import ScoreDraws
from mtray.errors import RunError
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.metrics.quality import CometScorer
from mtray.evaluation.output_files import read_outputs
from mtray.evaluation.suite import Suite
from mtray.files import replacing
from mtray.run_files import BASE_NUMBER, OUTPUTS_FILE
from mtray.schema import Study

RETENTION = "retention"
STAGES = ("", *(f"rung{k + 1}/" for k in range(len(SHARES))))
RANK = 48  # numbers of a trial; its own variance is what they leave
EXACT = "recipe."  # columns of 64 bits, so that a recipe is found again by its numbers

Row = dict[str, Any]


def names_of(suite: Suite) -> list[str]:
    """The scores that the table holds, where they were measured."""
    abilities = [a.name for a in suite.abilities]
    directions = [d.name for d in suite.directions]
    return [
        "quality", RETENTION, f"{RETENTION}.worst",
        *abilities, *(f"{RETENTION}.{name}" for name in abilities),
        *(f"{metric}.{name}" for metric in suite.metrics for name in directions),
        *(f"failures.any.{name}" for name in directions),
    ]  # fmt: skip


@dataclass(frozen=True)
class Scorer:
    """Scores outputs as a sweep does, beside the base model's. `base`: the base model's outputs of
    the whole suite. `load_comet` as in `Suite.score`."""

    study: Study
    suite: Suite
    base: Sequence[Output]
    load_comet: Callable[[str], CometScorer] | None = None

    @cached_property
    def part(self) -> Suite:
        """What is asked at a rung."""
        return self.suite.part(SEGMENTS)

    @cached_property
    def _base_at_rungs(self) -> list[Output]:
        return self.suite.outputs_of(self.part, self.base)

    @cached_property
    def _base_scores(self) -> dict[str, ScoreDraws]:
        return self._measured(self.suite, self.base, None)

    @cached_property
    def _base_scores_at_rungs(self) -> dict[str, ScoreDraws]:
        return self._measured(self.part, self._base_at_rungs, None)

    def _measured(
        self, suite: Suite, outputs: Sequence[Output], base: Sequence[Output] | None
    ) -> dict[str, ScoreDraws]:
        names = names_of(suite)
        result = suite.score(
            outputs, base, self.study.evaluation.bootstrap, self.study.seed, self.load_comet
        )
        scores = {**result.scores, **result.objectives}
        # whatever else retention is summarised as
        more = [name for name in result.draws if name.startswith(f"{RETENTION}.")]
        drawn = [name for name in dict.fromkeys([*names, *more]) if name in result.draws]
        return {name: ScoreDraws(scores[name], result.draws[name]) for name in drawn}

    def end(self, kept: Kept) -> dict[str, ScoreDraws]:
        """The scores of a trial's last answers."""
        if kept.job.number == BASE_NUMBER:
            return self._base_scores
        outputs = read_outputs(kept.folder / OUTPUTS_FILE, self.suite.requests)
        return self._measured(self.suite, outputs, self.base)

    def columns(self, kept: Kept, first: Kept | None = None) -> Row:
        """The scores of a trial; `first`: of a further seed, the recipe's first. RunError where its
        outputs are of other requests."""
        if kept.reason is not None:
            return {}
        is_base = kept.job.number == BASE_NUMBER
        found = self.end(kept)
        row = self._stage(STAGES[0], found, self._base_scores)
        row |= {
            f"{name}{FACTORS}": paired_draws(found[name], self._base_scores[name])
            for name in found
            if name in self.study.objectives or name.startswith(f"{RETENTION}.")
        }
        if first is not None and first.reason is None:
            before = self.end(first)
            row |= {f"{n}/apart": variance(found[n].draws - before[n].draws) for n in found}
        for rung, stage in enumerate(STAGES[1:]):
            path = kept.folder / rung_file(rung)
            if not is_base and not path.is_file():
                continue  # so few steps that two rungs were one
            found = self._base_scores_at_rungs
            if not is_base:
                outputs = read_outputs(path, self.part.requests)
                found = self._measured(self.part, outputs, self._base_at_rungs)
            row |= self._stage(stage, found, self._base_scores_at_rungs)
        return row

    def _stage(
        self, stage: str, found: Mapping[str, ScoreDraws], base: Mapping[str, ScoreDraws]
    ) -> Row:
        row: Row = {}
        for name, drawn in found.items():
            row |= {
                f"{stage}{name}": drawn.score.value,
                f"{stage}{name}/low": drawn.score.low,
                f"{stage}{name}/high": drawn.score.high,
                f"{stage}{name}/variance": variance(drawn.draws),
                f"{stage}{name}/paired": variance(drawn.draws - base[name].draws),
            }
        for a, b in combinations([name for name in self.study.objectives if name in found], 2):
            both = np.cov(found[a].draws, found[b].draws)
            row[f"{stage}covariance/{a}/{b}"] = float(both[0, 1])
        return row

    def about(self) -> dict[str, Any]:
        """By score what it is; by stage and score on how many segments; and which abilities do not
        count towards retention, with the reason."""
        whole = self.suite.score(
            self.base, None, self.study.evaluation.bootstrap, self.study.seed, self.load_comet
        )
        stages = {"end": self._base_scores, "rung": self._base_scores_at_rungs}
        return {
            "signatures": {n: d.score.signature for n, d in self._base_scores.items()},
            "segments": {s: {n: d.score.n for n, d in f.items()} for s, f in stages.items()},
            "left_out": whole.left_out,
        }


def paired_draws(drawn: ScoreDraws, base: ScoreDraws) -> list[float]:
    """Of the difference to the base model, scaled so that the products of two trials' are their
    covariance; where the metric is not defined, the mean."""
    apart = drawn.draws - base.draws
    apart = np.where(np.isfinite(apart), apart, np.nanmean(apart))
    return ((apart - apart.mean()) / (len(apart) - 1) ** 0.5).tolist()  # type: ignore[no-any-return]


def reduce_factors(rows: Sequence[Row], rank: int = RANK) -> None:
    """In place of the paired draws of every row, as many numbers as `rank` (or fewer, where they
    say all), whose products are as near to the covariances as so few can be (Eckart & Young
    1936)."""
    names = dict.fromkeys(n for row in rows for n in row if n.endswith(FACTORS))
    for name in names:
        having = [row for row in rows if row.get(name) is not None]
        left, sizes, _ = np.linalg.svd(np.array([row[name] for row in having]), full_matrices=False)
        for row, found in zip(having, left[:, :rank] * sizes[:rank], strict=True):
            row[name] = found.tolist()


def variance(draws: np.ndarray) -> float:
    """Of the draws on which the metric is defined."""
    return float(np.var(draws[np.isfinite(draws)], ddof=1))


def fixed_columns(kept: Kept) -> Row:
    """What is known of a trial without its outputs."""
    job, training = kept.job, kept.training
    row: Row = {
        "number": job.number, "role": job.role,
        "state": "complete" if kept.reason is None else "failed", "reason": kept.reason,
        "seed": job.seed, "replicate": job.replicate, "of": job.of,
        **{f"recipe.{name}": value for name, value in job.recipe.model_dump().items()},
    }  # fmt: skip
    for share in kept.mix.shares:
        row |= {
            f"mix.{share.source}.examples": share.realised,
            f"mix.{share.source}.tokens": share.tokens,
        }
    if training is not None:
        row |= {
            "steps": training.steps, "tokens": training.tokens,
            "trainable_parameters": training.trainable_parameters,
            "accumulated_learning_rate": training.accumulated_learning_rate,
            "final_loss": training.loss[-1][1], "mean_difference": training.mean_difference,
            "precision": training.precision,
        }  # fmt: skip
    for rung in kept.rungs:
        stage = STAGES[rung["rung"] + 1]
        row |= {f"{stage}step": rung["step"], f"{stage}seconds": rung["seconds"]}
    return row | {
        **{f"seconds.{phase}": seconds for phase, seconds in kept.seconds.items()},
        **{f"cpu.{state}": seconds for state, seconds in kept.cpu.items()},
        "threads": kept.threads, "machine": kept.machine, "code": kept.code,
        "finished": kept.finished,
    }  # fmt: skip


def base_outputs(trials: Iterable[Kept], suite: Suite) -> list[Output]:
    """The base model's. RunError where it is not done."""
    for kept in trials:
        if kept.job.number == BASE_NUMBER and kept.reason is None:
            return read_outputs(kept.folder / OUTPUTS_FILE, suite.requests)
    raise RunError("the base model's outputs are not there; train first, which begins with it")


def write_table(path: Path, rows: Sequence[Row], about: Mapping[str, Any]) -> int:
    """One Parquet file of all rows, with `about` as JSON under the key `recipe_table` of its
    schema; its size in bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _column(name, [row.get(name) for row in rows]) for name in names}
    text = json.dumps(about, ensure_ascii=False, sort_keys=True)
    table = pa.table(columns).replace_schema_metadata({"recipe_table": text})
    with replacing(path) as partial:
        pq.write_table(
            table, partial, compression="zstd", compression_level=19, write_statistics=False,
            use_dictionary=[n for n in names if pa.types.is_string(columns[n].type)],
        )  # fmt: skip
    return path.stat().st_size


def _column(name: str, values: Sequence[Any]) -> Any:
    """32 bits are enough for what was measured."""
    import pyarrow as pa

    kinds = {type(v) for v in values if v is not None}
    if kinds == {list}:
        return pa.array(values, pa.list_(pa.float32()))
    if kinds <= {str}:
        return pa.array(values, pa.string())
    if kinds <= {int}:
        return pa.array(values, pa.int32())
    return pa.array(values, pa.float64() if name.startswith(EXACT) else pa.float32())
