"""Runs the ``qadom`` binary as a child of this process.

What must stay true: a child that was started is ended, also when its program forgets to; a folder
that was made for it goes with it, one that was given stays.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
import weakref
from pathlib import Path
from typing import IO, Any, Sequence

from ._async.client import AsyncClient
from ._sync.client import Client
from .errors import NoDaemon, QadomError, from_problem

#: How long a daemon may take until it is ready, in seconds: the first start of a public network
#: solves a puzzle first, which a slow machine takes a while for.
START_TIME = 120.0
#: How long it may take to end, in seconds, before it is killed.
STOP_TIME = 15.0


def find_binary() -> str:
    """The ``qadom`` binary: QADOM_BINARY, else the first one on the PATH."""
    binary = os.environ.get("QADOM_BINARY") or shutil.which("qadom")
    if not binary:
        raise NoDaemon(
            "there is no qadom binary on the PATH",
            advice="install it, or name it in QADOM_BINARY",
        )
    return binary


class Daemon:
    """A node of one's own, from :meth:`start` to :meth:`stop`; also as ``with Daemon() as node``.

    It listens on ``listen`` (loopback, any port), joins through ``join``, keeps its things in
    ``data_dir`` (a private folder that is removed at the end), and takes further ``arguments`` as
    ``qadom node`` does.
    """

    def __init__(
        self,
        *,
        listen: Sequence[str] = ("127.0.0.1:0",),
        join: Sequence[str] = (),
        data_dir: str | os.PathLike[str] | None = None,
        arguments: Sequence[str] = (),
        binary: str | None = None,
    ) -> None:
        self._listen = list(listen)
        self._join = list(join)
        self._data_dir = None if data_dir is None else Path(data_dir)
        self._arguments = list(arguments)
        self._binary = binary
        self._end: weakref.finalize[Any, Any] | None = None
        self._ready: dict[str, Any] = {}

    def __enter__(self) -> Daemon:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """The address text by which others join."""
        return str(self._told("address"))

    @property
    def socket(self) -> str:
        """The control socket."""
        return str(self._told("socket"))

    @property
    def http(self) -> str | None:
        """Where the control API is on TCP, if it is."""
        return self._told("http") or None

    def _told(self, what: str) -> Any:
        if not self._ready:
            raise NoDaemon("the daemon is not running", advice="call start() first")
        return self._ready.get(what)

    def client(self) -> Client:
        """A client of it."""
        return Client(socket=self.socket)

    def async_client(self) -> AsyncClient:
        """A client of it for asyncio."""
        return AsyncClient(socket=self.socket)

    def start(self) -> Daemon:
        """Starts it and returns when it is ready, which it is before it has joined."""
        if self._end is not None:
            raise QadomError("the daemon runs already", reason="usage")
        binary = self._binary or find_binary()
        own = self._data_dir is None
        folder = Path(tempfile.mkdtemp(prefix="qadom-")) if own else self._data_dir
        assert folder is not None
        folder.mkdir(parents=True, exist_ok=True)
        command = [binary, "--data-dir", str(folder), "--json", "node", *self._arguments]
        for address in self._listen:
            command += ["--listen", address]
        for address in self._join:
            command += ["--join", address]
        told = tempfile.TemporaryFile()
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=told
            )
        except OSError as error:
            if own:
                shutil.rmtree(folder, ignore_errors=True)
            raise NoDaemon(f"{binary} cannot be run: {error}") from error
        self._end = weakref.finalize(self, _end, process, folder if own else None, told)
        self._ready = self._wait(process, told)
        return self

    def _wait(self, process: subprocess.Popen[bytes], told: IO[bytes]) -> dict[str, Any]:
        assert process.stdout is not None
        # Ends the wait below when the daemon says nothing.
        timer = threading.Timer(START_TIME, process.kill)
        timer.start()
        try:
            line = process.stdout.readline()
        finally:
            timer.cancel()
        if line:
            ready: dict[str, Any] = json.loads(line)
            return ready
        process.wait()
        told.seek(0)
        error = _said(told.read().decode(errors="replace"))
        self.stop()
        raise error

    def stop(self) -> None:
        """Stops it; what it acknowledged is kept in its folder, unless that was its own."""
        end, self._end, self._ready = self._end, None, {}
        if end is not None:
            end()


def _said(text: str) -> QadomError:
    """The error that a daemon that did not start has printed."""
    for line in reversed(text.splitlines()):
        try:
            error = json.loads(line)["error"]
        except (ValueError, KeyError, TypeError):
            continue
        problem = {"type": error["type"], "detail": error["message"]}
        return from_problem({**problem, "advice": error.get("advice")}, 0)
    return NoDaemon(f"the daemon ended before it was ready: {text.strip() or 'it said nothing'}")


def _end(process: subprocess.Popen[bytes], folder: Path | None, told: IO[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIME)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
    told.close()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
