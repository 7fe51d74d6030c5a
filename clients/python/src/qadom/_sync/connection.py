"""Requests and streams of events, over the unix socket or TCP.

What must stay true: whatever goes wrong is a QadomError; a stream that is left is closed at once.
"""

from __future__ import annotations

import json
from typing import Any, Iterator, Callable, Generic, Mapping, TypeVar

import httpx

from .. import _wire
from ..errors import QadomError, TimedOut
from ..models import Json, Page

T = TypeVar("T")


class Connection:
    """A pool of connections to one daemon."""

    def __init__(self, endpoint: _wire.Endpoint) -> None:
        self.endpoint = endpoint
        transport = httpx.HTTPTransport(uds=endpoint.socket, verify=endpoint.verify)
        self._client = httpx.Client(
            base_url=endpoint.url,
            transport=transport,
            headers=endpoint.headers,
            timeout=httpx.Timeout(_wire.ANSWER_TIME, connect=_wire.CONNECT_TIME),
        )

    def close(self) -> None:
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
        body: Any = None,
    ) -> Any:
        """Sends a request and returns the JSON of its answer."""
        response = self._send(
            self._client.build_request(
                method,
                path,
                params=query or None,
                content=content,
                json=body,
                headers={"Accept": "application/json"},
            )
        )
        try:
            return self._read(response)
        finally:
            response.close()

    def page(
        self, path: str, item: Callable[[Json], T], limit: int | None, cursor: str | None
    ) -> Page[T]:
        """A list, or a part of it."""
        query = _wire.parameters(limit=limit, cursor=cursor)
        return Page.read(self.ask("GET", path, query=query), item)

    def text(self, path: str) -> str:
        """What a path has, as text."""
        response = self._send(self._client.build_request("GET", path))
        try:
            return (response.read()).decode()
        finally:
            response.close()

    def chunks(self, path: str, headers: Mapping[str, str]) -> Iterator[bytes]:
        """What a path has, piece by piece."""
        request = self._client.build_request("GET", path, headers=dict(headers))
        response = self._send(request)
        try:
            for piece in response.iter_bytes():
                yield piece
        except httpx.HTTPError as error:
            raise self._failed(error) from error
        finally:
            response.close()

    def events(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        timeout: float | None,
    ) -> httpx.Response:
        """Begins a stream of events."""
        request = self._client.build_request(
            method,
            path,
            params=query or None,
            json=body,
            headers={"Accept": "text/event-stream"},
            timeout=httpx.Timeout(timeout, connect=_wire.CONNECT_TIME),
        )
        return self._send(request)

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._client.send(request, stream=True)
            if response.is_success:
                return response
            try:
                response.read()
                raise _wire.problem(_json(response), response.status_code)
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise self._failed(error) from error

    def _read(self, response: httpx.Response) -> Any:
        try:
            response.read()
        except httpx.HTTPError as error:
            raise self._failed(error) from error
        return _json(response)

    def _failed(self, error: Exception) -> QadomError:
        # Whoever is waited for in vain at the door is no daemon; one that took the request is slow.
        if isinstance(error, httpx.TimeoutException) and not isinstance(
            error, httpx.ConnectTimeout
        ):
            return TimedOut("the daemon took longer than it may")
        return self.endpoint.gone(error)


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


class Events(Generic[T]):
    """Events as they come. Enter it (``with``) to be sure that it stands before something
    else is done, or just go through it; leaving it or breaking off ends it."""

    def __init__(
        self,
        connection: Connection,
        parse: Callable[[str, Any], T],
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        timeout: float | None = _wire.EVENT_TIME,
    ) -> None:
        self._connection = connection
        self._parse = parse
        self._request = (method, path, query, body, timeout)
        self._response: httpx.Response | None = None
        self._lines: Iterator[str] | None = None

    def __enter__(self) -> Events[T]:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it."""
        response, self._response, self._lines = self._response, None, None
        if response is not None:
            response.close()

    def _open(self) -> Iterator[str]:
        if self._lines is None:
            method, path, query, body, timeout = self._request
            self._response = self._connection.events(
                method, path, query=query, body=body, timeout=timeout
            )
            self._lines = self._response.iter_lines()
        return self._lines

    def __iter__(self) -> Iterator[T]:
        lines = self._open()
        parser = _wire.Lines()
        try:
            for line in lines:
                event = parser.push(line)
                if event is None:
                    continue
                name, data = event
                content = json.loads(data)
                if name == "problem":
                    raise _wire.problem(content, int(content.get("status", 0)))
                yield self._parse(name, content)
        except httpx.HTTPError as error:
            raise self._connection._failed(error) from error
        finally:
            self.close()
