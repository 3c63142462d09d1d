"""Trials that the answer of a run (`mtray.report.answer`) requests from the search: the
confirmation of the recommended recipe, and those that settle whether it is the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtray.report.answer import LEVEL, next_repeat
from mtray.report.bootstrap_draws import draws_of
from mtray.report.number_text import chance_text
from mtray.report.posterior import JointPosterior, posterior_of
from mtray.run_files import trial_name
from mtray.schema import Study, TrialRecord
from mtray.search.strategy.advice import Advisor, Proposal
from mtray.search_space.space import Space

Allowed = Callable[[dict[str, Any]], bool]


def report_advisor(
    run_dir: Path, study: Study, space: Space, allowed: Allowed | None = None
) -> Advisor:
    """The advisor of one run. `allowed`: which points may be trained (None: the whole space)."""
    found = ReportAdvisor(run_dir, study, space, allowed)
    return Advisor(found.recommend, found.settle)


@dataclass(frozen=True)
class ReportAdvisor:
    """Advises by the joint posterior of the run's records."""

    run_dir: Path
    study: Study
    space: Space
    allowed: Allowed | None = None

    def recommend(self, records: Sequence[TrialRecord]) -> Proposal | None:
        """The recipe to confirm; None until a recipe is measured.

        An untrained recipe if it is expected to be better than all trained ones; otherwise the
        recommended recipe with another seed, or its strongest rival if the base model is
        recommended.
        """
        found = self._belief(records)
        if found is None:
            return None
        if (untried := self._untried(found)) is not None:
            return untried
        again = next_repeat(found, found.evidence.numbers)
        if again is None:
            return None
        return self._again(found, again, "trained again with another seed")

    def settle(
        self, records: Sequence[TrialRecord], pending: Sequence[Proposal]
    ) -> Proposal | None:
        """The repeat that is most informative about whether the recommended recipe is the best;
        running repeats count as seeds. None once that has the budget's probability, or if no repeat
        would help."""
        found = self._belief(records)
        if found is None or found.choice.probability >= (self.study.budget.settle or LEVEL):
            return None
        more = {n: sum(p.repeats_of == n for p in pending) for n in found.evidence.numbers}
        number = next_repeat(_with_seeds(found, more), found.evidence.numbers)
        if number is None:
            return None
        best = trial_name(found.numbers[found.choice.best])
        sure = chance_text(found.choice.probability)
        return self._again(found, number, f"trial {best} is the answer with probability {sure}")

    def _belief(self, records: Sequence[TrialRecord]) -> JointPosterior | None:
        return posterior_of(records, self.study, self.space, draws_of(self.run_dir))

    def _untried(self, found: JointPosterior) -> Proposal | None:
        for index in found.order:
            if index == found.choice.best:
                return None
            if index < len(found.numbers):
                continue
            params = self.space.params(found.recipe(index))
            if self.allowed is None or self.allowed(params):
                return Proposal(params, None, "predicted to be worth most, and not trained before")
        return None

    def _again(self, found: JointPosterior, number: int, why: str) -> Proposal:
        return Proposal(self.space.params(found.evidence.record(number).recipe), number, why)


def _with_seeds(found: JointPosterior, more: Mapping[int, int]) -> JointPosterior:
    """The posterior with running trials counted as measured, to decide which recipe is next."""
    evidence = found.evidence
    seeds = tuple(
        n + more[number] for n, number in zip(evidence.seeds, evidence.numbers, strict=True)
    )
    return replace(found, evidence=replace(evidence, seeds=seeds))
