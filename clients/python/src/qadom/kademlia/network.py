"""A ``Server`` with the methods of kademlia's, over a qadom daemon.

What must stay true: a program written for ``kademlia.network.Server`` does what it did after its
import was changed: ``set`` tells whether anything was stored, ``get`` of an unknown key is None, an
int, float, bool, str or bytes comes back as the type that was set, ``stop`` is an ordinary function.

A key is a name of the network's dict. Texts, numbers and truth values are stored as their JSON,
bytes behind a zero byte, which no JSON begins with; so ``qadom dict get NAME`` shows what a program
has set, and a program reads what the command line has set.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
from pathlib import Path
from typing import Any, Iterable, Union

from .._async.client import AsyncClient
from ..daemon import Daemon
from ..errors import QadomError, TooFewCopies

log = logging.getLogger(__name__)

#: What can be stored.
Value = Union[int, float, bool, str, bytes]

#: A name of the dict has at most this many bytes; a longer key is stored under its hash.
NAME_MAX = 256
#: How many copies the network keeps; kademlia's ksize.
K = 20


class Server:
    """A node: started by ``listen``, ended by ``stop``.

    ``ksize`` is 20 on every network, ``alpha`` is up to the daemon, the node's id comes from its
    key, and the daemon keeps its own store; so ``ksize`` can only be 20, and the others are there
    for programs that give them, and say so in the log.
    """

    def __init__(
        self, ksize: int = K, alpha: int = 3, node_id: bytes | None = None, storage: Any = None
    ) -> None:
        if ksize != K:
            raise ValueError(f"ksize is {K} on every qadom network, not {ksize}")
        for name, is_given in [("node_id", node_id is not None), ("storage", storage is not None)]:
            if is_given:
                log.warning("%s has no effect: the daemon has its own", name)
        self.ksize = ksize
        self.alpha = alpha
        self._daemon: Daemon | None = None
        self._client: AsyncClient | None = None
        self._saving: asyncio.Task[None] | None = None

    async def listen(self, port: int, interface: str = "0.0.0.0") -> None:
        """Starts a node on a UDP port; 0 is any that is free."""
        host = f"[{interface}]" if ":" in interface else interface
        daemon = Daemon(listen=[f"{host}:{port}"])
        await asyncio.to_thread(daemon.start)
        self._daemon, self._client = daemon, daemon.async_client()

    async def bootstrap(self, addrs: Iterable[tuple[str, int]]) -> list[str]:
        """Joins the network through nodes of it; those that answer are returned, and the others are
        named in the log. Host names will do as well."""
        addresses = [_host_port(host, port) for host, port in addrs]
        if not addresses:
            return []
        try:
            joined = await self._running().join(*addresses)
        except QadomError as error:
            log.warning("no bootstrap node answered: %s", error)
            return []
        for address, reason, detail in joined.problems:
            log.warning("bootstrap node %s: %s: %s", address, reason, detail)
        failed = {address for address, _, _ in joined.problems}
        return [address for address in addresses if address not in failed]

    async def get(self, key: Any) -> Value | None:
        """What is set under a key, None when nothing is."""
        content = await self._running().dict.get(_name(key))
        return None if content is None else decode(content)

    async def set(self, key: Any, value: Value) -> bool:
        """Sets a key; whether at least one node has it, which is this one when it is alone."""
        content = encode(value)
        try:
            await self._running().dict.set(_name(key), content)
        except TooFewCopies as error:
            log.warning("%s", error)
            return error.written is not None and error.written.receipt.stored > 0
        return True

    def stop(self) -> None:
        """Ends the node."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.cancel()
        daemon, self._daemon, self._client = self._daemon, None, None
        if daemon is not None:
            daemon.stop()

    async def bootstrappable_neighbors(self) -> list[tuple[str, int]]:
        """Addresses through which this network can be joined, in no order."""
        addresses = []
        for peer in await self._running().peers():
            _, _, place = peer.address.rpartition("@")
            host, _, port = place.rpartition(":")
            addresses.append((host.strip("[]"), int(port)))
        random.shuffle(addresses)
        return addresses

    async def save_state(self, fname: str) -> None:
        """Writes what :meth:`load_state` needs to come back to this network."""
        neighbors = await self.bootstrappable_neighbors()
        if not neighbors:
            log.warning("no neighbors to save")
            return
        state = {"ksize": self.ksize, "alpha": self.alpha, "neighbors": neighbors}
        # Beside it first, so that no half of a file takes its place.
        beside = Path(f"{fname}.new")
        beside.write_text(json.dumps(state))
        beside.replace(fname)

    @classmethod
    async def load_state(cls, fname: str, port: int, interface: str = "0.0.0.0") -> Server:
        """Starts a node in the network whose state was saved."""
        state = json.loads(Path(fname).read_text())
        server = cls(state["ksize"], state["alpha"])
        await server.listen(port, interface)
        await server.bootstrap((host, port) for host, port in state["neighbors"])
        return server

    def save_state_regularly(self, fname: str, frequency: float = 600) -> None:
        """Saves the state every ``frequency`` seconds, until the node is stopped."""

        async def save() -> None:
            while True:
                await asyncio.sleep(frequency)
                try:
                    await self.save_state(fname)
                except (QadomError, OSError) as error:
                    log.warning("the state was not saved: %s", error)

        if self._saving is not None:
            self._saving.cancel()
        self._saving = asyncio.get_running_loop().create_task(save())

    def _running(self) -> AsyncClient:
        if self._client is None:
            raise RuntimeError("listen first")
        return self._client


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _name(key: Any) -> str:
    """The name of the dict that a key stands for: as with kademlia, what is no bytes is its text."""
    if isinstance(key, bytes):
        try:
            name = key.decode()
        except UnicodeDecodeError:
            name = f"bytes:{key.hex()}"
    else:
        name = str(key)
    encoded = name.encode()
    if len(encoded) > NAME_MAX or not encoded:
        return f"sha256:{hashlib.sha256(encoded).hexdigest()}"
    return name


def encode(value: Value) -> bytes:
    """The bytes that stand for a value.

    Only the five types themselves, as with kademlia: a TypeError for all else.
    """
    if type(value) is bytes:
        return b"\0" + value
    if type(value) in (int, float, bool, str):
        return json.dumps(value, ensure_ascii=False).encode()
    raise TypeError("value must be of type int, float, bool, str, or bytes")


def decode(content: bytes) -> Value:
    """The value that bytes stand for; a text or bytes where something else than :func:`encode`
    wrote them."""
    if content[:1] == b"\0":
        return content[1:]
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if type(value) in (int, float, bool, str) else text
