"""The client: values, and the way to everything else.

What must stay true: one client serves many tasks at once; closing it ends what it follows.
"""

from __future__ import annotations

import os
import ssl
from typing import Any, Iterable, Union

from .. import _wire
from ..errors import NotFound, QadomError
from ..models import (
    Block,
    Diagnosis,
    Event,
    Gap,
    Identity,
    Joined,
    Lookup,
    LookupStep,
    Page,
    Peer,
    Pong,
    Publication,
    Status,
    Value,
    Written,
    event_of,
)
from .connection import AsyncConnection, AsyncEvents
from .files import AsyncFiles
from .views import AsyncBag, AsyncDict, AsyncNamespace, AsyncTopic

#: No default was given.
_NONE: Any = object()


def _traced(name: str, json: Any) -> Union[LookupStep, Lookup]:
    return LookupStep.of(json) if name == "step" else Lookup.of({"steps": (), **json})


class AsyncClient:
    """A daemon, over its unix socket or TCP.

    Without arguments the one of the user's data folder (or QADOM_SOCKET, QADOM_DATA_DIR); else
    that of ``socket`` or ``data_dir``, or at ``url`` with the ``token`` it wants. ``verify`` is a
    TLS context where the certificate is not one the system knows, or the daemon wants one of ours.
    """

    def __init__(
        self,
        *,
        socket: str | os.PathLike[str] | None = None,
        url: str | None = None,
        token: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        endpoint = _wire.endpoint(socket, url, token, data_dir, verify)
        self._connection = AsyncConnection(endpoint)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._connection.aclose()

    # Values

    async def put(
        self,
        content: _wire.Content,
        *,
        ttl: str | None = None,
        min_copies: int | None = None,
        once: bool = False,
    ) -> Written:
        """Puts a value of at most 8192 bytes; its key is the SHA-256 of it."""
        query = _wire.parameters(ttl=ttl, min_copies=min_copies, once=once)
        content = _wire.content_bytes(content)
        return Written.of(
            await self._connection.ask("POST", "/v1/values", query=query, content=content)
        )

    async def read(
        self, key: _wire.Key, *, from_node: str | None = None, local: bool = False
    ) -> Value:
        """A value with all that is known of it; NotFound when nobody has it."""
        query = _wire.parameters(local=local, **{"from": from_node})
        path = _wire.path("v1", "values", _wire.key_text(key))
        return Value.of(await self._connection.ask("GET", path, query=query))

    async def get(self, key: _wire.Key, default: Any = _NONE) -> Any:
        """The bytes of a value, else the default; NotFound where none is given."""
        try:
            return (await self.read(key)).value
        except NotFound:
            if default is _NONE:
                raise
            return default

    async def put_many(
        self,
        contents: Iterable[_wire.Content],
        *,
        ttl: str | None = None,
        min_copies: int | None = None,
        once: bool = False,
    ) -> list[Written | QadomError]:
        """Puts many values, 1024 with each request; what became of each, in their order. One that
        failed is its error, which is given and not raised."""
        query = _wire.parameters(ttl=ttl, min_copies=min_copies, once=once)
        results: list[Written | QadomError] = []
        for batch in _wire.value_batches(contents):
            body = {"items": [_wire.value_item(value) for value in batch]}
            answer = await self._connection.ask("POST", "/v1/bulk/put", query=query, body=body)
            results += (_wire.each(item) or Written.of(item) for item in answer["items"])
        return results

    async def get_many(
        self, keys: Iterable[_wire.Key], *, from_node: str | None = None, local: bool = False
    ) -> list[Value | QadomError]:
        """Reads many values, 1024 with each request, in the order of their keys. One that is not
        there is its error (NotFound, or why it is not known), which is given and not raised."""
        query = _wire.parameters(local=local, **{"from": from_node})
        results: list[Value | QadomError] = []
        for batch in _wire.key_batches(keys):
            body = {"keys": batch}
            answer = await self._connection.ask("POST", "/v1/bulk/get", query=query, body=body)
            results += (_wire.each(item) or Value.of(item) for item in answer["items"])
        return results

    # Views

    @property
    def dict(self) -> AsyncDict:
        """Names that anybody may set."""
        return AsyncDict(self._connection)

    def bag(self, key: _wire.Key) -> AsyncBag:
        """The bag under a key."""
        return AsyncBag(self._connection, key=key)

    def namespace(self, identity: str | None = None) -> AsyncNamespace:
        """The namespaces of all writers, written as one identity of the node."""
        return AsyncNamespace(self._connection, identity=identity)

    def topic(self, name: _wire.Key) -> AsyncTopic:
        """A topic, by its name or its key."""
        return AsyncTopic(self._connection, name=name)

    @property
    def files(self) -> AsyncFiles:
        """The files of the node."""
        return AsyncFiles(self._connection)

    def watch(self, slot: str, since: str = "now") -> AsyncEvents[Union[Event, Gap]]:
        """What is written to ``bag:KEY``, ``dict:NAME``, ``namespace:PUBLIC_KEY/KEY`` or
        ``topic:TOPIC``."""
        path = _wire.path("v1", "watch", slot)
        query = {"cursor": since}
        return AsyncEvents(self._connection, lambda _, json: event_of(json), "GET", path, query)

    # What the node keeps alive, and whom it signs as

    async def publications(
        self, limit: int | None = None, cursor: str | None = None
    ) -> Page[Publication]:
        """All that the node keeps alive; with ``limit`` at most so many, and ``cursor`` of the page
        leads to the next one."""
        return await self._connection.page("/v1/publications", Publication.of, limit, cursor)

    async def withdraw(self, key: _wire.Key) -> int:
        """Ends all that is kept alive under a key; how many publications that were."""
        path = _wire.path("v1", "publications", _wire.key_text(key))
        return int((await self._connection.ask("DELETE", path))["withdrawn"])

    async def identities(
        self, limit: int | None = None, cursor: str | None = None
    ) -> Page[Identity]:
        """The identities that the node can sign as."""
        return await self._connection.page("/v1/identities", Identity.of, limit, cursor)

    async def new_identity(self, name: str, secret: str | None = None) -> Identity:
        """Makes an identity, or takes over an exported one."""
        body = {"name": name} if secret is None else {"name": name, "secret": secret}
        return Identity.of(await self._connection.ask("POST", "/v1/identities", body=body))

    async def export_identity(self, name: str) -> str:
        """The secret of an identity; whoever has it can sign as it."""
        answer = await self._connection.ask("GET", _wire.path("v1", "identities", name))
        return str(answer["secret"])

    # Whom it has nothing to do with

    async def blocks(self, limit: int | None = None, cursor: str | None = None) -> Page[Block]:
        """What the node neither asks nor holds nor serves."""
        return await self._connection.page("/v1/blocks", Block.of, limit, cursor)

    async def block(self, what: str, duration: str | None = None) -> None:
        """Has nothing to do any more with a node (its id or address text) or a key, for a time such
        as ``36h`` or for ever."""
        body = {"what": what} if duration is None else {"what": what, "duration": duration}
        await self._connection.ask("POST", "/v1/blocks", body=body)

    async def unblock(self, what: str) -> None:
        """Takes a block back; NotFound when there is none."""
        await self._connection.ask("DELETE", _wire.path("v1", "blocks", what))

    # The network and the daemon

    async def peers(self, limit: int | None = None, cursor: str | None = None) -> Page[Peer]:
        """The routing table."""
        return await self._connection.page("/v1/peers", Peer.of, limit, cursor)

    async def lookup(self, key: _wire.Key) -> Lookup:
        """Finds the nodes nearest to a key."""
        path = _wire.path("v1", "lookups", _wire.key_text(key))
        return Lookup.of(await self._connection.ask("GET", path))

    def trace(self, key: _wire.Key) -> AsyncEvents[Union[LookupStep, Lookup]]:
        """A lookup step by step as it runs; the last event is what it came to."""
        path = _wire.path("v1", "lookups", _wire.key_text(key))
        return AsyncEvents(self._connection, _traced, "GET", path)

    async def ping(self, node: str) -> Pong:
        """The round trip to a node: its id, its address text or ``host:port``."""
        return Pong.of(await self._connection.ask("POST", "/v1/ping", body={"node": node}))

    async def join(self, *addresses: str) -> Joined:
        """Joins a network through nodes of it: address texts or ``host:port``."""
        body = {"addresses": list(addresses)}
        return Joined.of(await self._connection.ask("POST", "/v1/join", body=body))

    async def status(self) -> Status:
        """How the node is doing."""
        return Status.of(await self._connection.ask("GET", "/v1/status"))

    async def doctor(self) -> Diagnosis:
        """Finds out what does not work, and what to do."""
        return Diagnosis.of(await self._connection.ask("GET", "/v1/doctor"))

    async def set_mode(self, mode: str) -> None:
        """Stores for others (``storing``) or no longer (``client``)."""
        await self._connection.ask("PUT", "/v1/mode", body={"mode": mode})

    async def stop(self) -> None:
        """Stops the daemon; what it acknowledged is kept."""
        await self._connection.ask("POST", "/v1/stop")
