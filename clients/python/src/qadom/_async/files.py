"""Files: shared, pushed, fetched, read.

What must stay true: paths are those of the node's machine; work that nobody follows any more is
given up by the node, and what was verified stays.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, AsyncIterator, Callable, Union

from .. import _wire
from ..errors import QadomError
from ..models import File, FileDone, FileProgress, FileStatus, Page
from .connection import AsyncEvents
from .views import AsyncView

#: What is told while a file is worked on.
Progress = Callable[[FileProgress], None]


def _told(_: str, json: Any) -> Union[FileProgress, FileDone]:
    return FileProgress.of(json["progress"]) if "progress" in json else FileDone.of(json)


@dataclass(frozen=True)
class AsyncFiles(AsyncView):
    """The files that the node shares, and those that it can fetch."""

    async def add(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        copy: bool = False,
        progress: Progress | None = None,
    ) -> FileDone:
        """Shares a file or a folder of the node's machine from where it lies, or as a copy."""
        body = {"path": os.path.abspath(path), "name": name, "copy": copy}
        return await self._work("/v1/files", body, self._query(), progress)

    async def push(
        self,
        path: str | os.PathLike[str],
        *,
        copies: int = 6,
        name: str | None = None,
        progress: Progress | None = None,
    ) -> FileDone:
        """Shares a file and leaves copies of its chunks with other nodes."""
        body = {"path": os.path.abspath(path), "name": name, "copies": copies}
        return await self._work("/v1/files", body, self._query(), progress)

    async def get(
        self,
        file: str,
        output: str | os.PathLike[str] | None = None,
        *,
        writer: _wire.Writer | None = None,
        first: bool = False,
        progress: Progress | None = None,
    ) -> FileDone:
        """Fetches a file by its id or its name, to a place on the node's machine or into its folder;
        the same call goes on where an earlier one was cut short."""
        body = {
            "output": None if output is None else os.path.abspath(output),
            "writer": None if writer is None else _wire.key_text(writer),
            "first": first,
        }
        return await self._work(_wire.path("v1", "files", file, "fetch"), body, {}, progress)

    async def list(self, limit: int | None = None, cursor: str | None = None) -> Page[File]:
        """Everything that is here, whole or in part; with ``limit`` at most so many, and ``cursor``
        of the page leads to the next one."""
        return await self._connection.page("/v1/files", File.of, limit, cursor)

    async def status(self, id: str) -> FileStatus:
        """What is known of a file and its copies."""
        return FileStatus.of(await self._connection.ask("GET", _wire.path("v1", "files", id)))

    async def manifest(self, id: str) -> str:
        """Hash and size of each chunk, a line for each."""
        return await self._connection.text(_wire.path("v1", "files", id, "manifest"))

    async def remove(self, id: str) -> None:
        """No longer shares a file."""
        await self._connection.ask("DELETE", _wire.path("v1", "files", id))

    async def open(
        self, id: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The verified bytes of a file from ``start`` up to ``end``, as they come: reading begins
        before all of the file is here."""
        headers = {}
        if start or end is not None:
            last = "" if end is None else str(end - 1)
            headers["Range"] = f"bytes={start}-{last}"
        async for piece in self._connection.chunks(_wire.path("files", id), headers):
            yield piece

    async def read(self, id: str) -> bytes:
        """All bytes of a file."""
        whole = bytearray()
        async for piece in self.open(id):
            whole += piece
        return bytes(whole)

    async def _work(
        self, path: str, body: dict[str, Any], query: Any, progress: Progress | None
    ) -> FileDone:
        given = {name: value for name, value in body.items() if value is not None}
        # Progress comes when there is some, which finding providers may take a while for.
        events = AsyncEvents(
            self._connection, _told, "POST", path, query, body=given, timeout=None
        )
        async for event in events:
            if isinstance(event, FileDone):
                return event
            if progress is not None:
                progress(event)
        raise QadomError("the daemon ended without a result")
