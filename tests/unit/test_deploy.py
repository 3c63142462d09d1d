"""The files of deploy/ agree with the code: options, versions, paths, and what a cluster's policies
ask for."""

import re
import shlex
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from lint_tools import assert_no_lint
from rayjob_fields import departures, numbers

from mtray.metrics_python import VARIABLE
from mtray.search_space.space import load_space
from mtray.study import load_study
from mtray.sweep_command import DEFAULT_SPACE, parser, without_absent_kinds

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
DOCUMENTS = {d["kind"]: d for d in yaml.safe_load_all((DEPLOY / "rayjob.yaml").read_text())}
JOB = DOCUMENTS["RayJob"]
CLUSTER = JOB["spec"]["rayClusterSpec"]
(WORKERS,) = CLUSTER["workerGroupSpecs"]
PODS = {
    "submitter": JOB["spec"]["submitterPodTemplate"]["spec"],
    "head": CLUSTER["headGroupSpec"]["template"]["spec"],
    "worker": WORKERS["template"]["spec"],
}
PINS = dict(
    line.split(";")[0].strip().split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if "==" in line.split(";")[0]
)


def test_the_deployed_files_are_these():
    names = {"Dockerfile", "Dockerfile.dockerignore", "rayjob.yaml", "sweep.sbatch"}
    assert {f.name for f in DEPLOY.iterdir()} == names
    docs = (ROOT / "docs" / "howto" / "deploy.md").read_text()
    assert all(f"deploy/{name}" in docs for name in names - {"Dockerfile.dockerignore"})


# the image


def instructions():
    """Instructions of the Dockerfile, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


def test_the_image_is_built_from_files_that_its_context_has():
    (install,) = [line for line in instructions() if "pip install" in line]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored, "everything is left out that is not named"
    kept = [line[1:] for line in ignored if line.startswith("!")]
    assert all((ROOT / name).exists() for name in kept)
    used = set(re.findall(r"constraints[\w-]*\.txt|tools/\w+\.py", install))
    assert used == {"constraints.txt", "constraints-metrics.txt", "tools/share_files.py"}
    assert used | {"mtray", "sweeps", "search_spaces", "pyproject.toml"} <= set(kept)
    for command in install.split("&&"):
        if "pip install" in command and '"pip>=' not in command:
            assert " -c constraints" in command, command
    project = (ROOT / "pyproject.toml").read_text()
    assert "metrics = [" in project and "--group metrics" in install
    assert f"{VARIABLE}=/opt/mtray/.venv-metrics/bin/python" in DOCKERFILE


def test_the_image_has_two_variants_and_a_python_that_mtray_supports():
    bases = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert {name for _, name in bases} == {"base-cpu", "base-cuda"}
    assert "FROM base-${VARIANT}" in DOCKERFILE and "ARG VARIANT=cpu" in DOCKERFILE
    assert not [image for image, _ in bases if ":" not in image or image.endswith(":latest")]
    assert set(re.findall(r"python(3\.\d+)", DOCKERFILE)) == {"3.12"}
    assert dict((n, i) for i, n in bases)["base-cpu"].startswith("python:3.12")
    assert 'requires-python = ">=3.10,<3.13"' in (ROOT / "pyproject.toml").read_text()
    cuda = re.search(r"nvidia/cuda:(\d+\.\d+)", DOCKERFILE)[1]
    assert PINS["nvidia-cuda-runtime"].startswith(f"{cuda}."), "nvcc and torch must agree"


def test_the_image_runs_as_a_user_without_rights_and_holds_no_secret():
    users = [line for line in instructions() if line.startswith("USER ")]
    assert users[-1] == "USER 10001:10001"
    after = instructions()[instructions().index(users[-1]) :]
    assert not [line for line in after if line.startswith("RUN")]
    named = [line for line in instructions() if line.startswith(("ENV", "ARG"))]
    assert not re.search(r"token|secret|password|credential", " ".join(named), re.IGNORECASE)
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    for text in (DOCKERFILE, (DEPLOY / "rayjob.yaml").read_text()):
        assert set(re.findall(r"mtray:(\d\S*?)-c", text)) == {version}


def test_the_dockerfile_has_no_lint():
    assert_no_lint("hadolint", DEPLOY / "Dockerfile")


# Kubernetes


def test_the_ray_job_has_the_fields_of_the_api():
    assert list(departures(JOB)) == []


@pytest.mark.parametrize(
    "path, value, found",
    [
        (("spec", "entrypont"), "x", "spec.entrypont: unknown"),
        (("spec", "backoffLimit"), "2", "spec.backoffLimit: '2' is of another type"),
        (("spec", "suspend"), 1, "spec.suspend: 1 is of another type"),
        (("spec", "rayClusterSpec", "authOptions"), {"mode": "on"},
         "spec.rayClusterSpec.authOptions.mode: 'on' is none of ['disabled', 'token']"),
        (("spec", "rayClusterSpec", "workerGroupSpecs"), [{"groupName": "a", "template": {}}],
         "spec.rayClusterSpec.workerGroupSpecs[]: lacks minReplicas"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams"), {"num-cpus": 0},
         "spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus: 0 is of another type"),
    ],
)  # fmt: skip
def test_a_field_that_the_api_does_not_have_is_found(path, value, found):
    changed = deepcopy(JOB)
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert found in list(departures(changed))


def test_the_entrypoint_is_a_command_of_mtray():
    words = shlex.split(JOB["spec"]["entrypoint"])
    assert words[:2] == ["mtray", "sweep"]
    args = parser().parse_args(words[2:])
    assert (args.address, args.page) == ("auto", "off")
    mounts = {m["mountPath"] for m in PODS["head"]["containers"][0]["volumeMounts"]}
    assert {"/" + str(path).split("/")[1] for path in (args.study, args.runs_dir)} <= mounts
    assert args.study.name in DOCUMENTS["ConfigMap"]["data"]


def test_the_study_loads_with_the_files_that_it_names(tmp_path):
    text = DOCUMENTS["ConfigMap"]["data"]["study.yaml"].replace("/shared", str(tmp_path))
    for path in re.findall(rf"{tmp_path}/[\w./-]+", text):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    (tmp_path / "study.yaml").write_text(text)
    study = load_study(tmp_path / "study.yaml")
    space = load_space(DEFAULT_SPACE, study.defaults, study.sources)
    assert without_absent_kinds(space, study).parameters
    wanted = study.resources
    assert wanted.concurrent_trials == WORKERS["maxReplicas"], "what the autoscaler is asked for"
    has = numbers(PODS["worker"]["containers"][0]["resources"]["limits"]["cpu"])
    assert wanted.cpus_per_worker * wanted.workers <= has


@pytest.mark.parametrize("name", PODS)
def test_pods_are_what_a_restricted_namespace_admits(name):
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"USER {pod['securityContext']['runAsUser']}:" in DOCKERFILE
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        requests, limits = (container["resources"][part] for part in ("requests", "limits"))
        for amount in ("cpu", "memory"):
            assert 0 < numbers(requests[amount]) <= numbers(limits[amount])
    # the autoscaler beside the head asks Kubernetes' API
    assert (name == "head") == (pod.get("automountServiceAccountToken", True))


@pytest.mark.parametrize("name", ["head", "worker"])
def test_pods_of_ray_see_the_same_files_and_are_probed(name):
    pod, (container,) = PODS[name], PODS[name]["containers"]
    volumes = {v["name"]: v for v in pod["volumes"]}
    assert {m["name"] for m in container["volumeMounts"]} == set(volumes)
    claim = volumes["shared"]["persistentVolumeClaim"]["claimName"]
    assert claim == DOCUMENTS["PersistentVolumeClaim"]["metadata"]["name"]
    assert DOCUMENTS["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert volumes["study"]["configMap"]["name"] == DOCUMENTS["ConfigMap"]["metadata"]["name"]
    environment = {e["name"]: e for e in container["env"]}
    assert environment["MTRAY_STORE"]["value"].startswith("/shared/")
    assert environment["HF_TOKEN"]["valueFrom"]["secretKeyRef"]["optional"] is True
    assert "value" not in environment["HF_TOKEN"]
    commands = {" ".join(container[p]["exec"]["command"]) for p in ("readinessProbe",
                                                                     "livenessProbe")}  # fmt: skip
    assert len(commands) == 1 and "wget" in DOCKERFILE
    ray = pytest.importorskip("ray")
    served = (
        "".join(
            path.read_text() for path in Path(ray.__file__).parent.glob("dashboard/**/*health*.py")
        )
        + (Path(ray.__file__).parent / "dashboard/modules/reporter/reporter_head.py").read_text()
    )
    for route in re.findall(r"/api/\w+", commands.pop()):
        assert f'routes.get("{route}")' in served


def test_no_secret_is_part_of_the_files():
    assert "Secret" not in DOCUMENTS
    assert CLUSTER["authOptions"] == {"mode": "token"}
    assert CLUSTER["rayVersion"] == PINS["ray"]
    head = CLUSTER["headGroupSpec"]["rayStartParams"]
    assert head["num-cpus"] == "0" and CLUSTER["enableInTreeAutoscaling"] is True
    assert WORKERS["minReplicas"] <= WORKERS["replicas"] <= WORKERS["maxReplicas"]
