"""Numbers of a training that a front lists in addition to its scores."""

from __future__ import annotations

from mtray.schema import TrialRecord


def training_numbers(record: TrialRecord) -> dict[str, int | float]:
    """Trainable parameters, size of the update and amount of text; empty for the base model."""
    done = record.training
    if done is None:
        return {}
    found: dict[str, int | float] = {
        "tuned_parameters": done.trainable_parameters,
        "tokens_per_parameter": done.tokens_per_parameter,
        "accumulated_learning_rate": done.accumulated_learning_rate,
    }
    if done.mean_difference is not None:
        found["mean_difference"] = done.mean_difference
    if done.forward_kl is not None:
        found["forward_kl"] = done.forward_kl
    found |= {f"movement.{part}": value for part, value in done.movement.items()}
    return found | {f"des.{part}": value for part, value in record.extra.get("des", {}).items()}
