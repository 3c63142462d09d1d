"""Shards of token stores (`mtray.data.shards`) as Ray tasks on all machines of a cluster.

A shard's rows travel with its task and the tokens with the answer, through Ray's object store, so
no machine needs to see the source's files or the store's folder. Where a task comes to nothing, for
whatever reason, the process that builds the store builds that shard itself.
"""

from __future__ import annotations

import os
import pickle
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from mtray.data.content_hashes import differences, tokenizer_hash
from mtray.data.shards import ALONE, BuiltShard, Shard, ShardRunner, ShardWork
from mtray.errors import MtrayError, RunError
from mtray.schema import Resources
from mtray.search.execution import ray_environment

# from so many on, tasks are used on a single machine, too: fewer are kept busy by the tokenizer's
# own threads in one process (docs/data.md, "100 million rows")
MANY_CPUS = 8
PER_CPU = 2  # shards begun, so that a machine need not wait for the next one
# shards begun at most, 1 GB of rows and tokens: one process supplies about 20 CPUs
MOST = 128
PATIENCE = (
    120.0  # seconds; processes start and import the tokenizer in less, also on a busy machine
)
RETRIES = 3  # of a task that was lost with its machine

Say = Callable[[str], None]


class Needs(NamedTuple):
    """What a store depends on that a machine must have, too. `tokenizer`: its hash; empty where the
    store needs none."""

    code: str
    versions: Mapping[str, str | None]
    tokenizer: str = ""


@contextmanager
def shard_tasks(address: str | None, resources: Resources, say: Say) -> Iterator[ShardTasks]:
    """Tasks on the cluster at `address`, or on this machine. Ray is joined, or started, only once a
    source takes long enough, and left at the end. `resources`: those of the study, for the
    environment of the processes."""
    tasks = ShardTasks(address, resources, say)
    try:
        yield tasks
    finally:
        tasks.close()


class ShardTasks:
    """`Helpers` of `mtray.data.shards`."""

    def __init__(self, address: str | None, resources: Resources, say: Say) -> None:
        self._address, self._resources, self._say = address, resources, say
        self._joined, self._fails = False, False
        self._alike: dict[str, dict[str, int]] = {}  # CPUs by node, by code and versions

    def runner(self, store: str, work: ShardWork, inputs: Mapping[str, Any]) -> ShardRunner | None:
        """Tasks for the shards of a store; None on a single machine with few CPUs, or if the work
        cannot be sent. Raises RunError if the cluster at the address cannot be joined."""
        if not self._address and (self._fails or (os.cpu_count() or 1) < MANY_CPUS):
            return None
        if why := _unsendable(work):
            self._say(f"store of {store}: built by this process alone, since {why}")
            return None
        try:
            self._join()
        except MtrayError as error:  # also of the study's settings for the cluster
            if self._address:
                raise
            self._fails = True  # a store needs no Ray
            self._say(f"stores are built by this process alone: {str(error).splitlines()[0]}")
            return None
        nodes = self._nodes(inputs["code"], inputs["versions"])
        cpus = sum(nodes.values())
        if len(nodes) < 2 and cpus < MANY_CPUS:
            return None
        many = f"{len(nodes)} machine{'s' * (len(nodes) > 1)}"
        self._say(
            f"store of {store}: not done after {ALONE:g} s, so the rest is built by Ray tasks on "
            f"{many} ({cpus} CPUs)"
        )
        needs = Needs(inputs["code"], inputs["versions"], inputs.get("tokenizer", ""))
        return TaskRunner(store, work, needs, nodes, self._say)

    def _join(self) -> None:
        ray_environment.apply()  # read by Ray when it is imported
        import ray

        from mtray.search.execution.ray_connection import start_ray

        if not ray.is_initialized():
            try:
                start_ray(self._address, resources=self._resources)
            except OSError as error:  # would be taken for one of the store's folder
                raise RunError(f"Ray cannot write its files: {error}") from error
            self._joined = True

    def close(self) -> None:
        """Leave the cluster if it was joined here, which ends all tasks."""
        if self._joined:
            import ray

            ray.shutdown()
            self._joined = False

    def _nodes(self, code: str, versions: Mapping[str, str | None]) -> dict[str, int]:
        """The CPUs of each machine that has the code and packages that the store depends on."""
        from mtray.search.execution.available_resources import machines
        from mtray.search.execution.cluster_probe import ask_machines

        key = repr((code, sorted(versions.items())))
        if key not in self._alike:
            answers = {node: text for node, _, text in ask_machines(_differences(), code, versions)}
            found = {}
            for machine in machines():
                cpus = int(machine.amounts.get("CPU", 0))
                if cpus and (why := answers.get(machine.node, "did not answer")):
                    self._say(f"{machine.name} builds no part of a store: {why}")
                elif cpus:
                    found[machine.node] = cpus
            self._alike[key] = found
        return self._alike[key]


def _differences() -> Callable[[str, Mapping[str, str | None]], str]:
    """The task that asks a machine for `differences`; Ray sends its code along."""

    def ask(code: str, versions: Mapping[str, str | None]) -> str:
        try:
            from mtray.data.content_hashes import differences
        except Exception as error:  # whatever prevents it, prevents tasks
            return f"cannot import mtray ({type(error).__name__}: {error})"
        return differences(code, versions)

    return ask


def _unsendable(work: ShardWork) -> str:
    """Why another machine cannot do this work; empty if it can."""
    module = type(getattr(work.maker, "tokenizer", None)).__module__
    if module.startswith("transformers_modules"):
        return "the tokenizer has code of its own"
    try:
        pickle.dumps(work)
    except Exception as error:  # of any class, as the object's own code raises
        return f"its tokenizer cannot be sent ({type(error).__name__}: {error})"
    return ""


class TaskRunner:
    """Builds the shards of one store in tasks. `nodes`: the CPUs of each machine."""

    def __init__(
        self,
        store: str,
        work: ShardWork,
        needs: Needs,
        nodes: Mapping[str, int],
        say: Say,
    ) -> None:
        import ray

        self._store, self._work, self._nodes, self._say = store, work, nodes, say
        self._given = (secrets.token_hex(8), [ray.put(work)], needs)
        name = f"shard of {store}"
        self._task = ray.remote(num_cpus=1, max_retries=RETRIES, name=name)(build_in_task)
        self._begun: Counter[str] = Counter()
        self._patience, self._told = PATIENCE, False

    @property
    def window(self) -> int:
        return min(MOST, PER_CPU * sum(self._nodes.values()))

    def submit(self, shard: Shard) -> Callable[[], BuiltShard]:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = min(self._nodes, key=lambda n: self._begun[n] / self._nodes[n])
        self._begun[node] += 1
        # soft: if the machine is lost, another one takes over
        there = NodeAffinitySchedulingStrategy(node, soft=True)
        try:
            rows = ray.put(shard)
            answer = self._task.options(scheduling_strategy=there).remote(*self._given, rows)
        except ray.exceptions.RayError as error:  # such as of Ray's full disk
            self._begun[node] -= 1
            return partial(self._here, shard, f"its task did not begin ({_last_line(error)})")
        return partial(self._wait, node, rows, answer)

    def _wait(self, node: str, rows: Any, answer: Any) -> BuiltShard:
        """The answer, or the shard built here: then an error of its rows is raised here, too.
        Raises RunError if Ray has lost the rows."""
        import ray

        try:
            ready, _ = ray.wait([answer], timeout=self._patience)
            if ready:
                built: BuiltShard = ray.get(answer)
                self._patience = PATIENCE
                return built
            why = f"no CPU was free for its task within {PATIENCE:g} s"
            self._patience = 0.0  # until an answer is there again
            ray.cancel(answer)
        except ray.exceptions.RayError as error:
            why = f"its task failed ({_last_line(error)})"
        finally:
            self._begun[node] -= 1
        try:
            shard: Shard = ray.get(rows)
        except ray.exceptions.RayError as error:
            raise RunError(
                f"store of {self._store}: Ray has lost a part of the rows ({_last_line(error)}); "
                "nothing of the store was kept: start the same command again, or leave `--address` "
                "out"
            ) from error
        return self._here(shard, why)

    def _here(self, shard: Shard, why: str) -> BuiltShard:
        built = self._work.build(shard)
        if not self._told:
            self._told = True
            self._say(f"store of {self._store}: a shard was built by this process, since {why}")
        return built


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


_KNOWN: dict[str, ShardWork] = {}  # the work of the last store, in a task's process


def build_in_task(key: str, held: list[Any], needs: Needs, shard: Shard) -> BuiltShard:
    """The task. `held`: a reference to the work, which a process fetches once for all its tasks;
    `key`: what it is known by. `needs` is looked at again, since a machine may have joined after
    all were asked. Raises RuntimeError where it is not met."""
    import ray

    if key not in _KNOWN:
        if differ := differences(needs.code, needs.versions):
            raise RuntimeError(f"this machine {differ}")
        work: ShardWork = ray.get(held[0])
        # some tokenizers take their files from the same path, wherever they are unpacked
        if (
            needs.tokenizer
            and tokenizer_hash(getattr(work.maker, "tokenizer", None)) != needs.tokenizer
        ):
            raise RuntimeError("this machine has another tokenizer at the same path")
        _KNOWN.clear()
        _KNOWN[key] = work
    built = _KNOWN[key].build(shard)
    return built._replace(builder=(ray.get_runtime_context().get_node_id(), os.getpid()))
