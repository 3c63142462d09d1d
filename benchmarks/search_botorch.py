"""BoTorch's qLogNEHVI with its defaults as a policy of the search benchmark (Daulton et al. 2021,
Ament et al. 2023); needs the package botorch.

The start is mtray's: the problem's baselines and its space-filling points. With `as_ours` the
acquisition function is divided by the same root of the predicted cost, and multiplied by the same
prior around the guesses, as mtray's own is.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from search_policy import Policy
from search_tables import Array, Params, Problem

from mtray.search.strategy.cost_aware import (
    BELIEF,
    BELIEF_WIDTH,
    BEYOND,
    COST_EXPONENT,
    FEWEST,
)
from mtray.search.strategy.samplers import STARTUP, space_filling
from mtray.search_space.unit_cube import UnitCube

DRAWS = 64  # quasi-random draws of the acquisition function
RESTARTS, RAW = 4, 128  # of its optimiser


class Botorch(Policy):
    """qLogNEHVI on a Gaussian process for each objective, with pending points."""

    def __init__(self, problem: Problem, seed: int, as_ours: bool = False) -> None:
        self._problem, self._seed, self._as_ours = problem, seed, as_ours
        self._cube = UnitCube(problem.distributions)
        filling = space_filling(problem.distributions, STARTUP, seed)
        self._start = [*problem.references, *filling]
        self._signs = np.array([1.0 if s == "max" else -1.0 for s in problem.senses])
        self._params: dict[int, Params] = {}
        self._ended: dict[int, tuple[Array, float]] = {}

    def ask(self, number: int) -> Params:
        if number < len(self._start):
            found = self._start[number]
        elif len(self._ended) < FEWEST:
            found = space_filling(self._problem.distributions, number + 1, self._seed)[-1]
        else:
            found = self._cube.params(np.clip(self._suggest(number), 0, 1 - 1e-9))
        self._params[number] = found
        return found

    def ran(self, number: int, params: Params) -> None:
        self._params[number] = params

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        self._ended[number] = values * self._signs, cost

    def _suggest(self, number: int) -> Array:
        import torch
        from botorch.acquisition.multi_objective.logei import (
            qLogNoisyExpectedHypervolumeImprovement,
        )
        from botorch.exceptions.errors import OptimizationGradientError
        from botorch.models import ModelListGP
        from botorch.optim import optimize_acqf
        from botorch.sampling import SobolQMCNormalSampler
        from botorch.utils.sampling import draw_sobol_samples

        warnings.simplefilter("ignore")
        torch.manual_seed(self._seed * 10_007 + number)
        points = torch.tensor(np.array([self._cube.units(self._params[n]) for n in self._ended]))
        values = torch.tensor(np.array([found for found, _ in self._ended.values()]))
        model = ModelListGP(*(_fitted(points, values[:, [j]]) for j in range(values.shape[1])))
        with torch.no_grad():
            predicted = model.posterior(points).mean.numpy()
        pending = [self._cube.units(p) for n, p in self._params.items() if n not in self._ended]
        worth: Any = qLogNoisyExpectedHypervolumeImprovement(
            model, X_baseline=points, prune_baseline=True,
            ref_point=(predicted.min(axis=0) - BEYOND * np.ptp(predicted, axis=0)).tolist(),
            sampler=SobolQMCNormalSampler(torch.Size([DRAWS]), seed=number),
            X_pending=torch.tensor(np.array(pending)) if pending else None,
        )  # fmt: skip
        if self._as_ours:
            costs = torch.tensor([[float(np.log(cost))] for _, cost in self._ended.values()])
            worth = self._with_cost_and_guess(worth, _fitted(points, costs.double()))
        ends = torch.stack([torch.zeros_like(points[0]), torch.ones_like(points[0])])
        try:
            found, _ = optimize_acqf(
                worth, ends, q=1, num_restarts=RESTARTS, raw_samples=RAW,
                options={"batch_limit": RESTARTS, "maxiter": 60},
            )  # fmt: skip
        except OptimizationGradientError:  # NaN, in about one of a thousand suggestions
            drawn = draw_sobol_samples(ends, RAW, 1, seed=number)
            with torch.no_grad():
                found = drawn[worth(drawn).argmax()]
        return np.asarray(found[0].numpy())

    def _with_cost_and_guess(self, worth: Any, cost: Any) -> Any:
        import torch

        guesses = self._cube.guesses(self._problem.guesses)
        guessed = np.flatnonzero(~np.isnan(guesses))
        centres = torch.tensor(guesses[guessed])
        power = BELIEF / len(self._ended)

        class Ours(torch.nn.Module):
            def forward(self, x: Any) -> Any:  # shape (batch, 1, d)
                away = (((x[:, 0, guessed] - centres) / BELIEF_WIDTH) ** 2).sum(dim=-1)
                dear = cost.posterior(x).mean[:, 0, 0]
                return worth(x) - COST_EXPONENT * dear - 0.5 * power * away

        return Ours()


def _fitted(points: Any, values: Any) -> Any:
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from gpytorch.mlls import ExactMarginalLogLikelihood

    model = SingleTaskGP(points, values, outcome_transform=Standardize(1))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model
