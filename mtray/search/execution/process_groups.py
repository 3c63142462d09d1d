"""The process group of a trial whose workers may be on several machines: over which network
interface they connect.

Where a machine's name stands for a loopback address (Debian's 127.0.1.1), gloo offers that address
to the other machines, which cannot connect to it.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import struct
from typing import Any

import ray
from ray.train.torch import TorchConfig

from mtray.search.execution.preemption import listen

VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
_SIOCGIFADDR = 0x8915  # netdevice(7)


def name_interface() -> None:
    """In a worker: name the interface of the address by which Ray knows this machine, unless the
    user has, or the machine's name leads to an address that others can reach."""
    if not name_is_loopback():
        return
    interface = interface_of(ray.util.get_node_ip_address())
    for variable in VARIABLES:
        if interface and not os.environ.get(variable):
            os.environ[variable] = interface


def name_is_loopback() -> bool:
    """Whether this machine's name stands for a loopback address, or for none."""
    try:
        return is_loopback(socket.gethostbyname(socket.gethostname()))
    except OSError:
        return True


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def interface_of(address: str) -> str | None:
    """The network interface that has this IPv4 address; None for a loopback address, and where no
    interface has it."""
    if is_loopback(address):
        return None
    return next((name for _, name in socket.if_nameindex() if _address(name) == address), None)


def _address(interface: str) -> str | None:
    request = struct.pack("256s", interface.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            found = fcntl.ioctl(any_socket, _SIOCGIFADDR, request)
        except OSError:  # it has none
            return None
    return socket.inet_ntoa(found[20:24])


class AddressedTorchConfig(TorchConfig):  # type: ignore[misc]
    """Ray's, whose workers know their interface before they connect, and hear of their end."""

    @property
    def backend_cls(self) -> Any:
        return _AddressedBackend


class _AddressedBackend(TorchConfig().backend_cls):  # type: ignore[misc]
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(listen)
        worker_group.execute(name_interface)
        super().on_start(worker_group, backend_config)
