"""Dict, bags, namespaces and topics.

What must stay true: a view is a cheap object without state of its own; what can be asked of its
writes (identity, life, copies) is said once, when it is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Mapping, TypeVar, Union, overload

from .. import _wire
from .._mapping import AsyncNames
from ..errors import NotFound, from_problem
from ..models import BagItem, BagList, Entry, Event, Gap, Written, event_of
from .connection import AsyncConnection, AsyncEvents

D = TypeVar("D")
V = TypeVar("V", bound="AsyncView")


@dataclass(frozen=True)
class AsyncView:
    """What all views share: who signs, and how copies are kept."""

    _connection: AsyncConnection
    #: Who signs: an identity of the node; ``default`` when none is said.
    identity: str | None = None
    #: How long a copy lives without renewal, such as ``36h``.
    ttl: str | None = None
    #: Fewer copies than this count as failed.
    min_copies: int | None = None
    #: Not renewed: gone when its copies expire.
    once: bool = False

    def options(
        self: V,
        *,
        identity: str | None = None,
        ttl: str | None = None,
        min_copies: int | None = None,
        once: bool | None = None,
    ) -> V:
        """The same view that writes otherwise."""
        given = {"identity": identity, "ttl": ttl, "min_copies": min_copies, "once": once}
        changed: dict[str, Any] = {name: it for name, it in given.items() if it is not None}
        return replace(self, **changed)

    async def _write(
        self, method: str, path: str, content: bytes | None = None, **more: Any
    ) -> Written:
        query = self._query(**more)
        return Written.of(await self._connection.ask(method, path, query=query, content=content))

    def _query(self, **more: Any) -> Mapping[str, str]:
        return _wire.write_parameters(
            self.identity, self.ttl, self.min_copies, self.once, **more
        )

    def _watch(self, slot: str, since: str) -> AsyncEvents[Union[Event, Gap]]:
        query = {"cursor": since}
        path = _wire.path("v1", "watch", slot)
        return AsyncEvents(self._connection, lambda _, json: event_of(json), "GET", path, query)


@dataclass(frozen=True)
class AsyncDict(AsyncView, AsyncNames):
    """Names that anybody may set; the last writer wins. Contents are bytes of at most 8192."""

    #: Only what this writer set is read.
    writer: _wire.Writer | None = None

    def by(self, writer: _wire.Writer) -> AsyncDict:
        """The same dict, of which only what this writer set is read."""
        return replace(self, writer=writer)

    async def set(self, name: str, content: _wire.Content) -> Written:
        """Sets a name."""
        path = _wire.path("v1", "dict", name)
        return await self._write("PUT", path, _wire.content_bytes(content))

    async def delete(self, name: str) -> Written:
        """Deletes a name: nothing is found under it until somebody sets it again."""
        return await self._write("DELETE", _wire.path("v1", "dict", name))

    async def read(
        self, name: str, *, from_node: str | None = None, local: bool = False
    ) -> Entry:
        """What is set under a name, with all that is known of it; NotFound when nothing is."""
        writer = None if self.writer is None else _wire.key_text(self.writer)
        query = _wire.parameters(writer=writer, local=local, **{"from": from_node})
        path = _wire.path("v1", "dict", name)
        return Entry.of(await self._connection.ask("GET", path, query=query))

    @overload
    async def get(self, name: str) -> bytes | None: ...

    @overload
    async def get(self, name: str, default: D) -> bytes | D: ...

    async def get(self, name: str, default: Any = None) -> Any:
        """What is set under a name, else the default."""
        try:
            return (await self.read(name)).value
        except NotFound:
            return default

    async def update(
        self, names: Mapping[str, _wire.Content] | None = None, **more: _wire.Content
    ) -> dict[str, Written]:
        """Sets many names, and tells what became of each; the first that failed is raised when all
        were tried."""
        contents = {**(names or {}), **more}
        texts, others = {}, {}
        for name, content in contents.items():
            content = _wire.content_bytes(content)
            try:
                texts[name] = content.decode()
            except UnicodeDecodeError:
                others[name] = content
        written, problem = {}, None
        if texts:
            answer = await self._connection.ask(
                "PATCH", "/v1/dict", query=self._query(), body=texts
            )
            for each in answer:
                if each.get("error"):
                    error = each["error"]
                    problem = problem or from_problem(error, int(error.get("status", 0)))
                else:
                    written[each["name"]] = Written.of(each)
        for name, content in others.items():
            written[name] = await self.set(name, content)
        if problem is not None:
            raise problem
        return written

    def watch(self, name: str, since: str = "now") -> AsyncEvents[Union[Event, Gap]]:
        """Each change of a name as it is written."""
        return self._watch(f"dict:{name}", since)


@dataclass(frozen=True)
class AsyncBag(AsyncView):
    """Many items under one key: the union of what all have added."""

    key: _wire.Key = ""

    def _path(self) -> str:
        return _wire.path("v1", "bags", _wire.key_text(self.key))

    async def add(self, item: _wire.Content | int) -> Written:
        """Adds an item of at most 1024 bytes."""
        return await self._write("POST", self._path(), _wire.item_bytes(item))

    async def remove(self, item: _wire.Content | int) -> Written:
        """Removes an item of one's own."""
        return await self._write("DELETE", self._path(), _wire.item_bytes(item))

    async def list(self, *, from_node: str | None = None, local: bool = False) -> BagList:
        """All items, each once."""
        query = _wire.parameters(local=local, **{"from": from_node})
        return BagList.of(await self._connection.ask("GET", self._path(), query=query))

    async def page(self, limit: int, cursor: str = "0") -> BagList:
        """Some of the items; ``cursor`` of the answer leads to the next ones."""
        query = _wire.parameters(limit=limit, cursor=cursor)
        return BagList.of(await self._connection.ask("GET", self._path(), query=query))

    async def items(self) -> set[bytes]:
        """The items as a set; empty for a bag that nobody added to."""
        return {item.value for item in (await self.list()).items}

    def watch(self, since: str = "now") -> AsyncEvents[Union[Event, Gap]]:
        """Each item as it is added."""
        return self._watch(f"bag:{_wire.key_text(self.key)}", since)


@dataclass(frozen=True)
class AsyncNamespace(AsyncView):
    """Keys that one writer alone may set; others read them under its public key."""

    async def set(
        self, key: _wire.Key, content: _wire.Content, *, if_seq: int | None = None
    ) -> Written:
        """Sets a key of the identity's own namespace; with ``if_seq`` only while that version is
        there (0: none), else StaleSeq."""
        path = _wire.path("v1", "namespaces", _wire.key_text(key))
        return await self._write("PUT", path, _wire.content_bytes(content), if_seq=if_seq)

    async def delete(self, key: _wire.Key) -> Written:
        """Deletes a key of the identity's own namespace."""
        return await self._write("DELETE", _wire.path("v1", "namespaces", _wire.key_text(key)))

    async def read(
        self,
        public_key: _wire.Writer,
        key: _wire.Key,
        *,
        latest: bool = False,
        signature: str | int | bytes | None = None,
        from_node: str | None = None,
        local: bool = False,
    ) -> Entry:
        """What a writer set, with all that is known of it. ``latest`` asks all nodes nearest to it;
        ``signature`` wants the content of exactly this signature."""
        path = _wire.path("v1", "namespaces", _wire.key_text(public_key), _wire.key_text(key))
        given = None if signature is None else _wire.signature_text(signature)
        query = _wire.parameters(
            latest=latest, signature=given, local=local, **{"from": from_node}
        )
        return Entry.of(await self._connection.ask("GET", path, query=query))

    async def get(self, public_key: _wire.Writer, key: _wire.Key, default: Any = None) -> Any:
        """The bytes that a writer set, else the default."""
        try:
            return (await self.read(public_key, key)).value
        except NotFound:
            return default

    def watch(
        self, public_key: _wire.Writer, key: _wire.Key, since: str = "now"
    ) -> AsyncEvents[Union[Event, Gap]]:
        """Each version as it is set."""
        slot = f"namespace:{_wire.key_text(public_key)}/{_wire.key_text(key)}"
        return self._watch(slot, since)


@dataclass(frozen=True)
class AsyncTopic(AsyncView):
    """Messages to all who subscribe."""

    name: _wire.Key = ""

    async def publish(self, message: _wire.Content) -> Written:
        """Sends a message to all who subscribe."""
        path = _wire.path("v1", "topics", _wire.key_text(self.name))
        return await self._write("POST", path, _wire.content_bytes(message))

    def subscribe(self, since: str = "now") -> AsyncEvents[Union[Event, Gap]]:
        """Each message as it comes; with ``since="0"`` first those that are still held, with the
        cursor of an event all that came after it."""
        path = _wire.path("v1", "topics", _wire.key_text(self.name), "events")
        query = {"cursor": since}
        return AsyncEvents(self._connection, lambda _, json: event_of(json), "GET", path, query)


__all__ = ["AsyncBag", "AsyncDict", "AsyncNamespace", "AsyncTopic", "AsyncView", "BagItem"]
