"""Command-line options that override keys of a study's budget."""

from __future__ import annotations

from argparse import Namespace

from pydantic import ValidationError

from mtray.errors import ConfigError
from mtray.schema import Budget


def with_options(budget: Budget, args: Namespace) -> Budget:
    """The budget with `--trials`, `--settle` and `--max-minutes` applied. With `settle`, `--trials`
    is the limit on all trials, and the budget is divided as in the study. ConfigError for an
    invalid value, or a ceiling below the trials."""
    _check(args)
    given = {"max_minutes": args.max_minutes, "settle": args.settle, "trials": args.trials}
    if args.trials is not None and (args.settle or budget.settle):
        given |= {"ceiling": args.trials, "trials": min(budget.trials, args.trials)}
    changes = {name: value for name, value in given.items() if value is not None}
    try:
        return Budget.model_validate({**budget.model_dump(), **changes})
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--trials {args.trials}: {message}") from None


def _check(args: Namespace) -> None:
    if args.trials is not None and args.trials < 1:
        raise ConfigError(f"--trials: expected 1 or more, found {args.trials}")
    if args.max_minutes is not None and args.max_minutes <= 0:
        raise ConfigError(f"--max-minutes: expected more than 0, found {args.max_minutes:g}")
    if args.settle is not None and not 0.5 < args.settle < 1:
        raise ConfigError(
            f"--settle: expected a probability above 0.5 and below 1, found {args.settle:g}"
        )
