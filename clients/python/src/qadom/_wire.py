"""Where the daemon is reached, and how keys and other texts are written for it.

What must stay true: nothing here does any I/O beyond reading the environment, so that the blocking
client and the one for asyncio share it.
"""

from __future__ import annotations

import base64
import os
import ssl
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Union
from urllib.parse import quote

from .errors import NoDaemon, QadomError, Usage, from_problem

#: A key: 64 hex digits, ``int:DECIMAL`` or ``name:TEXT``; a number below 2**256; or its 32 bytes.
Key = Union[str, int, bytes]
#: A public key of a writer: 64 hex digits or ``int:DECIMAL``, the number, or the 32 bytes.
Writer = Union[str, int, bytes]
#: The content of a value, an item or a message; a text stands for its UTF-8 bytes.
Content = Union[bytes, bytearray, memoryview, str]

#: How long the daemon may take for an answer, in seconds: lookups of far networks included.
ANSWER_TIME = 120.0
#: How long it may take to be connected to, in seconds.
CONNECT_TIME = 5.0
#: Events come with a sign of life every 15 s; after this many seconds without one it is gone.
EVENT_TIME = 60.0


def name(text: str) -> str:
    """The text of the key that a name stands for."""
    return f"name:{text}"


def key_text(key: Key) -> str:
    """A key as the daemon reads it."""
    if isinstance(key, bool):
        raise Usage("a key is no bool")
    if isinstance(key, int):
        return f"int:{key}"
    if isinstance(key, (bytes, bytearray)):
        return key.hex()
    return key


def item_bytes(item: Content | int) -> bytes:
    """An item of a bag: bytes, a text, or a number below 2**256 as its 32 bytes."""
    if isinstance(item, bool):
        raise TypeError("an item of a bag is bytes, str or int, not bool")
    if isinstance(item, int):
        if not 0 <= item < 1 << 256:
            raise Usage("a number in a bag is at least 0 and below 2**256")
        return item.to_bytes(32, "big")
    return content_bytes(item)


def content_bytes(content: Content) -> bytes:
    """Content as bytes."""
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    raise TypeError(f"content is bytes or str, not {type(content).__name__}")


def signature_text(signature: str | int | bytes) -> str:
    """A content signature as the daemon reads it."""
    if isinstance(signature, int):
        return f"int:{signature}"
    return signature.hex() if isinstance(signature, bytes) else signature


def path(*parts: str) -> str:
    """A path whose parts may hold anything. Dots are written so that nobody takes them for steps."""
    escaped = (quote(part, safe="") for part in parts)
    return "/" + "/".join(e.replace(".", "%2E") if set(e) == {"."} else e for e in escaped)


def parameters(**given: Any) -> dict[str, str]:
    """The query of a request: what is not None, with yes-or-no as 1; no is left out."""
    texts = {}
    for key, value in given.items():
        if value is None or value is False:
            continue
        texts[key] = "1" if value is True else str(value)
    return texts


#: Items of one bulk request, which the daemon allows.
BULK_ITEMS = 1024
#: Bytes of values in one bulk request: as Base64 they stay below what the daemon takes.
BULK_BYTES = 8 << 20


def value_batches(contents: Iterable[Content]) -> Iterator[list[bytes]]:
    """Values in as few bulk requests as they fit into."""
    batch: list[bytes] = []
    size = 0
    for content in contents:
        value = content_bytes(content)
        if len(batch) == BULK_ITEMS or (batch and size + len(value) > BULK_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(value)
        size += len(value)
    if batch:
        yield batch


def key_batches(keys: Iterable[Key]) -> Iterator[list[str]]:
    """Keys in as few bulk requests as they fit into."""
    texts = map(key_text, keys)
    while batch := list(islice(texts, BULK_ITEMS)):
        yield batch


def value_item(value: bytes) -> dict[str, str]:
    """A value inside of a bulk request."""
    return {"value_base64": base64.b64encode(value).decode()}


@dataclass(frozen=True)
class Endpoint:
    """Where the daemon is: a unix socket or a URL, and what it is shown."""

    socket: str | None
    url: str
    token: str | None
    verify: ssl.SSLContext | bool

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def where(self) -> str:
        return self.socket or self.url

    def gone(self, error: Exception) -> NoDaemon:
        """The error that says that nobody answers here."""
        detail = f"no daemon answers at {self.where}: {error or type(error).__name__}"
        return NoDaemon(detail, advice="start one with: qadom node")


def endpoint(
    socket: str | os.PathLike[str] | None,
    url: str | None,
    token: str | None,
    data_dir: str | os.PathLike[str] | None,
    verify: ssl.SSLContext | bool,
) -> Endpoint:
    """Finds the daemon as the command line does: what is given, else QADOM_SOCKET, else the socket
    in QADOM_DATA_DIR or in the user's data folder."""
    if url is not None:
        if socket is not None or data_dir is not None:
            raise Usage("a url excludes socket and data_dir")
        return Endpoint(None, url.rstrip("/"), token, verify)
    if socket is None and data_dir is None:
        socket = os.environ.get("QADOM_SOCKET") or None
    if socket is None:
        folder = data_dir or os.environ.get("QADOM_DATA_DIR") or _data_home() / "qadom"
        socket = Path(folder) / "control.sock"
    return Endpoint(str(socket), "http://localhost", token, verify)


def _data_home() -> Path:
    home = os.environ.get("XDG_DATA_HOME", "")
    return Path(home) if os.path.isabs(home) else Path.home() / ".local" / "share"


def problem(body: Any, status: int) -> QadomError:
    """The error behind an answer that is none of success."""
    return from_problem(body, status)


def each(item: Mapping[str, Any]) -> QadomError | None:
    """The error of one item of a bulk answer, if it has one."""
    error = item.get("error")
    return from_problem(error, int(error.get("status", 0))) if error else None


def write_parameters(
    identity: str | None,
    ttl: str | None,
    min_copies: int | None,
    once: bool,
    **more: Any,
) -> Mapping[str, str]:
    """The query of a write."""
    return parameters(identity=identity, ttl=ttl, min_copies=min_copies, once=once, **more)


class Lines:
    """Takes server-sent events apart, line by line."""

    #: The longest line that is taken, in characters; the daemon's longest has a tenth of it.
    LINE_MAX = 1 << 20

    def __init__(self) -> None:
        self._name = ""
        self._data: list[str] = []

    def push(self, line: str) -> tuple[str, str] | None:
        """Takes a line without its end; the event (name and data) that it ends, if it ends one."""
        if len(line) > self.LINE_MAX:
            raise QadomError("the daemon sent an event that is too long")
        if not line:
            event = (self._name, "\n".join(self._data)) if self._data else None
            self._name, self._data = "", []
            return event
        field, _, text = line.partition(":")
        text = text.removeprefix(" ")
        if field == "event":
            self._name = text
        elif field == "data":
            self._data.append(text)
        return None
