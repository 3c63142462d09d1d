"""The fields of a RayJob (`ray.io/v1`), as the types of KubeRay's API name them, and how a document
departs from them. Pods are Kubernetes' own: `benchmarks/deploy_check.py` checks those by its
schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TEXTS = {"*": str}
POD: dict[str, Any] = {"metadata": dict, "spec": dict}
RESOURCES = {"requests": TEXTS, "limits": TEXTS}
HEAD = {
    "serviceType": str, "headService": dict, "enableIngress": bool, "rayStartParams": TEXTS,
    "template": POD, "labels": TEXTS, "resources": TEXTS,
}  # fmt: skip
WORKERS = {
    "groupName": str, "replicas": int, "minReplicas": int, "maxReplicas": int, "numOfHosts": int,
    "idleTimeoutSeconds": int, "suspend": bool, "rayStartParams": TEXTS, "template": POD,
    "scaleStrategy": dict, "labels": TEXTS, "resources": TEXTS,
}  # fmt: skip
CLUSTER = {
    "headGroupSpec": HEAD, "workerGroupSpecs": [WORKERS], "rayVersion": str,
    "enableInTreeAutoscaling": bool, "headServiceAnnotations": TEXTS, "suspend": bool,
    "managedBy": str, "gcsFaultToleranceOptions": dict, "upgradeStrategy": dict,
    "authOptions": {"mode": {"disabled", "token"}},
    "autoscalerOptions": {
        "resources": RESOURCES, "image": str, "imagePullPolicy": str, "env": list, "envFrom": list,
        "volumeMounts": list, "securityContext": dict, "idleTimeoutSeconds": int,
        "upscalingMode": {"Default", "Aggressive", "Conservative"}, "version": {"v1", "v2"},
    },
}  # fmt: skip
RAY_JOB = {
    "apiVersion": {"ray.io/v1"}, "kind": {"RayJob"}, "metadata": dict,
    "spec": {
        "activeDeadlineSeconds": int, "backoffLimit": int, "rayClusterSpec": CLUSTER,
        "submitterPodTemplate": POD, "metadata": TEXTS, "clusterSelector": TEXTS,
        "submitterConfig": {"backoffLimit": int}, "managedBy": str, "deletionStrategy": dict,
        "entrypoint": str, "runtimeEnvYAML": str, "jobId": str,
        "submissionMode": {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"},
        "entrypointResources": str, "entrypointNumCpus": (int, float),
        "entrypointNumGpus": (int, float), "ttlSecondsAfterFinished": int,
        "shutdownAfterJobFinishes": bool, "suspend": bool, "preRunningDeadlineSeconds": int,
    },
}  # fmt: skip
REQUIRED = {
    "": ("apiVersion", "kind", "metadata", "spec"),
    "spec.rayClusterSpec": ("headGroupSpec",),
    "spec.rayClusterSpec.headGroupSpec": ("template",),
    "spec.rayClusterSpec.workerGroupSpecs[]": (
        "groupName", "template", "minReplicas", "maxReplicas"
    ),
}  # fmt: skip


def departures(found: Any, expected: Any = RAY_JOB, where: str = "") -> Iterator[str]:
    """What a document has that the API does not, or lacks. Python takes True for an int, the API
    does not."""
    if isinstance(expected, list):
        if not isinstance(found, list):
            yield f"{where}: no list"
            return
        for item in found:
            yield from departures(item, expected[0], f"{where}[]")
    elif isinstance(expected, dict):
        if not isinstance(found, dict):
            yield f"{where}: no mapping"
            return
        yield from (f"{where}: lacks {n}" for n in REQUIRED.get(where, ()) if n not in found)
        for name, value in found.items():
            inner = expected.get(name, expected.get("*"))
            path = f"{where}.{name}".lstrip(".")
            if inner is None:
                yield f"{path}: unknown"
            else:
                yield from departures(value, inner, path)
    elif isinstance(expected, set):
        if found not in expected:
            yield f"{where}: {found!r} is none of {sorted(expected)}"
    elif not isinstance(found, expected) or (isinstance(found, bool) and expected is not bool):
        yield f"{where}: {found!r} is of another type"


def numbers(quantity: str) -> float:
    """A quantity of Kubernetes, such as 500m or 16Gi."""
    units = {"m": 1e-3, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "": 1.0}
    digits = quantity.rstrip("miMGT")
    return float(digits) * units[quantity[len(digits) :]]
