"""Sends the study's tables to the workers: by path where a machine sees the token store, otherwise
as a copy in Ray's object store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtray.data.tables import StoredTable, Table
from mtray.errors import DataError


@dataclass(frozen=True)
class SentTable:
    """A table as sent to workers.

    table: the table, if it is a file on disk.
    copy: a reference into Ray's object store, if one is needed.
    """

    table: StoredTable | None
    copy: Any = None


def send_tables(store: Mapping[str, Table]) -> dict[str, SentTable]:
    """The tables in the form sent to workers. A table is copied into Ray's object store only if it
    is in memory or if a machine of the cluster does not see its file."""
    import ray

    handed = {}
    for name, table in store.items():
        if not isinstance(table, StoredTable):
            handed[name] = SentTable(None, ray.put(table))
        elif visible_everywhere(table):
            handed[name] = SentTable(table)
        else:
            handed[name] = SentTable(table, ray.put(table.loaded()))
    return handed


def visible_everywhere(table: StoredTable) -> bool:
    """Whether every machine of the cluster sees the table's file at its path."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    if nodes == [ray.get_runtime_context().get_node_id()]:
        return table.is_there()
    look = ray.remote(num_cpus=0)(StoredTable.is_there)
    asked = [
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True)).remote(
            table
        )
        for node in nodes
    ]
    return all(ray.get(asked))


def receive_tables(handed: Mapping[str, SentTable]) -> dict[str, Table]:
    """The tables in a worker. Raises DataError if a machine that joined later does not see the
    store."""
    import ray

    tables: dict[str, Table] = {}
    for name, given in handed.items():
        if given.table is not None and given.table.is_there():
            tables[name] = given.table
        elif given.copy is not None:
            tables[name] = ray.get(given.copy)
        else:
            assert given.table is not None
            raise DataError(
                f"{given.table.folder}: this machine cannot see the token store of source "
                f"{name!r}; set MTRAY_STORE to a folder that all machines share, or start the "
                "sweep again with all machines in the cluster"
            )
    return tables
