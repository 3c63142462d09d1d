"""KL divergence of a trial's model from the base model on the new task, at each of its alphas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mtray.evaluation.divergence import base_distributions, divergence_requests, forward_kl
from mtray.evaluation.inference.batching import Settings
from mtray.evaluation.inference.engine import answer_part, joined
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.suite import Suite
from mtray.schema import Study
from mtray.training.adapters import merged
from mtray.training.reversion import InitialWeights
from mtray.trial.job import DivergencePlan


def divergence_plan(
    study: Study, suite: Suite, outputs: Callable[[], Sequence[Output] | None]
) -> DivergencePlan | None:
    """The prompts on which the study's trials are compared; None where it asks for none. `outputs`:
    the base model's outputs of the whole suite, None until they exist."""
    if not study.evaluation.divergence.prompts:
        return None
    requests = divergence_requests(suite, study.evaluation.divergence.prompts)

    def answers() -> list[Output] | None:
        found = outputs()
        if found is None:
            return None
        known = dict(zip(suite.requests, found, strict=True))
        return [known[request] for request in requests]

    return DivergencePlan(requests, answers)


class Divergence:
    """KL divergence of the model of `settings` from its base weights `origin`. Their distributions
    are computed once, in the same model, so that no second model is held."""

    def __init__(self, plan: DivergencePlan, settings: Settings, origin: InitialWeights) -> None:
        # bf16 would add 2e-4 nats (embedded model), as much as a light training
        self._exact, self._origin = replace(settings, autocast=None), origin
        with origin.at(settings.model, 0.0), merged(settings.model):
            answers = plan.answers()
            if answers is None:
                answers = joined(plan.requests, [answer_part(settings, plan.requests)])
            self._base = base_distributions(self._exact, plan.requests, answers)

    def at(self, alpha: float) -> float:
        """KL(base || tuned at alpha), nats per token."""
        model = self._exact.model
        with self._origin.at(model, alpha), merged(model):
            return forward_kl(self._exact, self._base)
