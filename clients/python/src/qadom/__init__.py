"""qadom: values, dicts, bags, namespaces, topics and files on a network that has no server.

>>> import qadom
>>> dht = qadom.connect()                           # doctest: +SKIP
>>> dht.dict["colour"] = "green"                    # doctest: +SKIP
>>> dht.dict["colour"]                              # doctest: +SKIP
b'green'

:class:`Client` blocks, :class:`AsyncClient` is for asyncio; both talk to a daemon (``qadom node``)
over its unix socket or TCP. :class:`Daemon` runs one as a child. :mod:`qadom.kademlia` stands in
for the package ``kademlia``.
"""

from __future__ import annotations

import os

from . import errors
from ._async.client import AsyncClient
from ._async.connection import AsyncEvents
from ._async.files import AsyncFiles
from ._async.views import AsyncBag, AsyncDict, AsyncNamespace, AsyncTopic
from ._sync.client import Client
from ._sync.connection import Events
from ._sync.files import Files
from ._sync.views import Bag, Dict, Namespace, Topic
from ._wire import name
from .daemon import Daemon
from .errors import NoDaemon, NotFound, QadomError
from .models import (
    BagItem,
    BagList,
    Block,
    Entry,
    Event,
    File,
    FileDone,
    FileProgress,
    Gap,
    Lookup,
    Page,
    Peer,
    Publication,
    Receipt,
    Status,
    Value,
    Written,
)

__version__ = "0.1.0"


def connect(
    where: str | os.PathLike[str] | None = None, *, token: str | None = None
) -> Client:
    """A client of the daemon at a URL or a unix socket; without either of the user's own."""
    if where is None:
        return Client(token=token)
    text = os.fspath(where)
    if text.startswith(("http://", "https://")):
        return Client(url=text, token=token)
    return Client(socket=text, token=token)


__all__ = [
    "AsyncBag",
    "AsyncClient",
    "AsyncDict",
    "AsyncEvents",
    "AsyncFiles",
    "AsyncNamespace",
    "AsyncTopic",
    "Bag",
    "BagItem",
    "BagList",
    "Block",
    "Client",
    "Daemon",
    "Dict",
    "Entry",
    "Event",
    "Events",
    "File",
    "FileDone",
    "FileProgress",
    "Files",
    "Gap",
    "Lookup",
    "Namespace",
    "NoDaemon",
    "NotFound",
    "Page",
    "Peer",
    "Publication",
    "QadomError",
    "Receipt",
    "Status",
    "Topic",
    "Value",
    "Written",
    "connect",
    "errors",
    "name",
]
