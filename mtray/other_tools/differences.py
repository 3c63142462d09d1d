"""What trainers built on transformers' do otherwise than a trial did, as sentences."""

from __future__ import annotations

from mtray.other_tools.plan import Plan


def common_differences(plan: Plan, held: str = "") -> list[str]:
    """`held`: how the tool holds the weights where the trial computed in 16 bits; empty: as the
    trial did."""
    return [
        *_order(plan),
        *_schedule(plan),
        *_precision(plan, held),
        *_packing(plan),
        *_weight_decay(plan),
        *_afterwards(plan),
    ]


def _order(plan: Plan) -> list[str]:
    rows = plan.rows
    same = rows.batches_of(plan.batch)
    said = (
        "Order: the rows are in the trial's order, with its epochs one after the other, so the "
        "tool trains one epoch and does not shuffle."
    )
    if same == len(rows.steps):
        return [f"{said} All {len(rows.steps):,} steps have the trial's rows."]
    if plan.training.batch_tokens is not None:
        why = f"the trial filled each step with up to {plan.training.batch_tokens:,} tokens"
    else:
        why = "the trial's last step of an epoch had fewer rows"
    return [
        f"{said} The first {same:,} of the trial's {len(rows.steps):,} steps have the same rows "
        f"here; after them the steps are cut at other places, because {why} and the tool takes "
        f"{plan.batch:,} rows at every step, {plan.steps:,} steps in all."
    ]


def _schedule(plan: Plan) -> list[str]:
    found = []
    if plan.warmup_steps:
        found.append(
            f"Schedule: in step s of the {plan.warmup_steps:,} warm-up steps, counted from 0, the "
            f"trial's learning rate was (s + 1) / {plan.warmup_steps + 1} of the peak. "
            f"transformers' is s / {plan.warmup_steps}, so its first step changes nothing. "
            "After the warm-up both are the same."
        )
    if plan.recipe.stop_after < 1:
        found.append(
            f"The trial stopped after {len(plan.rows.steps):,} of {plan.rows.planned:,} planned "
            "steps, and only the rows of these steps are here."
        )
    return found


def _precision(plan: Plan, held: str) -> list[str]:
    if plan.precision == "fp32":
        return [
            "Precision: the trial computed in fp32, and so does this. On a GPU you will want bf16 "
            "instead, which is faster and gives slightly other scores."
        ]
    if not held:
        return []
    return [
        f"Precision: the trial held fp32 weights and computed in {plan.precision} (autocast). The "
        f"tool holds {held}."
    ]


def _packing(plan: Plan) -> list[str]:
    if plan.training.packing == "off":
        return []
    return [
        "Packing: mtray may pack examples into one row, none of which attends to another. Here "
        "every row is padded instead, which gives the same loss and takes longer. The tool's own "
        "packing is off: it would change which rows a step has."
    ]


def _weight_decay(plan: Plan) -> list[str]:
    if not plan.training.weight_decay:
        return []
    return [
        "Weight decay: mtray decays all trained weights; transformers' trainer leaves out biases "
        "and norms."
    ]


def _afterwards(plan: Plan) -> list[str]:
    alpha = plan.recipe.reversion_alpha
    if alpha == 1:
        return []
    how = (
        f"multiply `lora_alpha` in `adapter_config.json` by {alpha:g}"
        if plan.adapter
        else "interpolate all weights between those of the base model and the trained ones"
    )
    return [
        f"After training: the trial's scores are of the weights w0 + {alpha:g} (w - w0), part of "
        f"the way from the base model's w0 to the trained w. The tool stops at w; {how}."
    ]
