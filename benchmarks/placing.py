"""Whether Ray places as many trials as mtray counts: a cluster of three Ray nodes of this machine
with pretended CPUs, GPUs, resources and labels, and for each case placement groups as Ray Train
requests them, until one finds no room. The trials are stubs: nothing runs in the groups.

    python benchmarks/placing.py
"""

from __future__ import annotations

import sys
from typing import Any

from mtray.search.execution import ray_environment

ray_environment.apply()

import ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402
from ray.util.placement_group import placement_group, remove_placement_group  # noqa: E402

from mtray.schema import Resources  # noqa: E402
from mtray.search.execution.available_resources import machines  # noqa: E402
from mtray.search.execution.placing import (  # noqa: E402
    metric_machine,
    per_worker,
    trials_that_fit,
)

FITS_WITHIN, LATE = 20.0, 2.0  # seconds for a group that fits, and for one more
NODES: tuple[dict[str, Any], ...] = (
    {"num_cpus": 4, "num_gpus": 2, "resources": {"accelerator_type:A100": 1},
     "labels": {"zone": "a"}},
    {"num_cpus": 4, "num_gpus": 1, "resources": {"disk": 2},
     "labels": {"zone": "b", "market": "spot"}},
)  # fmt: skip
CASES: tuple[dict[str, Any], ...] = (
    {"cpus_per_worker": 2},
    {"gpus_per_worker": 0.4},
    {"gpus_per_worker": 1},
    {"gpus_per_worker": 2},
    {"custom_per_worker": {"disk": 1}},
    {"accelerator_type": "A100"},
    {"labels": {"zone": "in(b, c)"}},
    {"labels": {"market": "!spot"}},
    {"workers": 2, "cpus_per_worker": 3},
    {"workers": 2, "cpus_per_worker": 3, "worker_placement": "strict_pack"},
    {"workers": 2, "cpus_per_worker": 2, "worker_placement": "strict_spread"},
    {"workers": 3, "worker_placement": "strict_spread"},
    {"gpus_per_worker": 1, "metric_gpus": 0.5},
    {"gpus_per_worker": 0.5, "metric_gpus": 0.5},
)


def group(wanted: Resources) -> Any:
    labels = [wanted.labels] * wanted.workers if wanted.labels else None
    bundles = [per_worker(wanted)] * wanted.workers
    strategy = wanted.worker_placement.upper()
    return placement_group(bundles, strategy=strategy, bundle_label_selector=labels)


def placed(wanted: Resources, counted: int) -> int:
    """How many trials Ray places beside the metric; at most one more than `counted`."""
    groups, found = [], 0
    if where := metric_machine(wanted, machines()):
        node = {"ray.io/node-id": where.node}
        gpus = {"GPU": wanted.metric_gpus}
        groups.append(placement_group([gpus], bundle_label_selector=[node]))
        groups[-1].wait(FITS_WITHIN)
    for index in range(counted + 1):
        groups.append(group(wanted))
        if not groups[-1].wait(FITS_WITHIN if index < counted else LATE):
            break
        found += 1
    for one in groups:
        remove_placement_group(one)
    return found


def main() -> int:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for node in NODES:
            cluster.add_node(**node)
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        print("| resources | counted | placed by Ray |\n| --- | --- | --- |")
        wrong = 0
        for case in CASES:
            wanted = Resources(**case)
            counted = trials_that_fit(wanted, machines())
            found = placed(wanted, counted)
            wrong += counted != found
            print(f"| `{case}` | {counted} | {found} |", flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
