"""What a sweep would do: for `--dry-run` and at the start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtray.lineage import lineage_of
from mtray.search_space.parameters import shown

if TYPE_CHECKING:
    from mtray.schema import Study
    from mtray.search.strategy.budget_allocation import BudgetAllocation
from mtray.preparation import PreparedSweep


def plan_lines(prepared: PreparedSweep) -> list[str]:
    """What a sweep would do: for --dry-run and at the start."""
    from mtray.data.variant_tables import is_draws
    from mtray.evaluation.held_out import has_test, sets_without_test
    from mtray.evaluation.suite import set_lines
    from mtray.search.strategy.preference_notes import preference_plan

    study, space = prepared.study, prepared.space
    lines = [f"study {study.name}: model {study.model}, seed {study.seed}, sampler {study.sampler}"]
    if origin := lineage_of(study.model):
        lines.append(f"  the base model is {origin.text}")
    tables = {name: t for name, t in prepared.store.items() if not is_draws(name)}
    for name, table in tables.items():
        lines += [source_line(name, table), *(f"    {line}" for line in row_lines(study, table))]
        lines += [f"    note: {what}" for what in table.remarks]
    lines.append(
        f"  evaluation: {len(prepared.suite.requests):,} requests per trial, "
        f"{', '.join(study.evaluation.abilities)}"
    )
    lines += set_lines(prepared.suite, prepared.lengths)
    lines += [f"  note: {line}" for line in prepared.seen]
    if has_test(study) and (missing := sets_without_test(study)):
        lines.append(f"  note: `mtray test` needs test segments for {', '.join(missing)} as well")
    lines += [f"  searched: {name} {p.text()}" for name, p in space.parameters.items()]
    if space.fixed:
        lines.append(f"  fixed: {', '.join(f'{k} {shown(v)}' for k, v in space.fixed.items())}")
    lines += [f"  {line}" for line in preference_plan(study)]
    if rule := study.early_stopping:
        shares = ", ".join(f"{share:.0%}" for share in rule.rungs)
        asked = len(prepared.suite.part(rule.segments).requests)
        lines.append(f"  rungs: after {shares} of the steps, {asked:,} requests at each")
    return lines


def source_line(name: str, table: Any) -> str:
    """How many examples trials can draw from a source, and what filters and `max_length`
    dropped."""
    parts = [f"{table.available:,} examples"]
    long = {"over max_length": table.dropped} if table.dropped else {}
    for what, counts in (("left out", {**table.left_out, **long}), ("allowed", table.allowed)):
        if counts:
            by_filter = ", ".join(f"{why} {count:,}" for why, count in counts.items())
            parts.append(f"{sum(counts.values()):,} {what}: {by_filter}")
    return f"  source {name}: {'; '.join(parts)}"


def row_lines(study: Study, table: Any) -> list[str]:
    """The lengths of a source's examples, and how many of its rows have several lines."""
    from mtray.data.training_prompts import SEVERAL_LINES
    from mtray.data.translation_prompts import keeps_breaks
    from mtray.evaluation.set_lengths import join_reason, spread

    lines = [f"median tokens: examples {spread(table.sizes())}"]
    several = table.rendering.get(SEVERAL_LINES, 0)
    if not several:
        return lines
    source = next(s for s in study.sources if s.name == table.source)
    found = f"{several:,} rows have line breaks"
    if source.kind == "parallel" and not keeps_breaks(study.template, study.paragraphs):
        return [*lines, f"note: {found}, which are joined{join_reason(study)}"]
    return [*lines, f"{found}, which examples keep"]


def allocation_of(prepared: PreparedSweep, run_dir: Path | None = None) -> BudgetAllocation:
    """How the trials of the budget are allocated. ConfigError where the baselines leave too few to
    search."""
    from mtray.data.recipe_tables import held_rows
    from mtray.data.store import sums_by_recipe
    from mtray.search.ledger.allocation_check import checked_allocation

    study = prepared.study
    held = held_rows(prepared.store, prepared.space.values("max_length"))
    sums = sums_by_recipe(study, prepared.store)
    return checked_allocation(study, prepared.space, run_dir, prepared.taken, held, sums)
