"""Requests and streams of events, over the unix socket or TCP.

What must stay true: whatever goes wrong is a QadomError; a stream that is left is closed at once.
"""

from __future__ import annotations

import json
from typing import Any, AsyncIterator, Callable, Generic, Mapping, TypeVar

import httpx

from .. import _wire
from ..errors import QadomError, TimedOut
from ..models import Json, Page

T = TypeVar("T")


class AsyncConnection:
    """A pool of connections to one daemon."""

    def __init__(self, endpoint: _wire.Endpoint) -> None:
        self.endpoint = endpoint
        transport = httpx.AsyncHTTPTransport(uds=endpoint.socket, verify=endpoint.verify)
        self._client = httpx.AsyncClient(
            base_url=endpoint.url,
            transport=transport,
            headers=endpoint.headers,
            timeout=httpx.Timeout(_wire.ANSWER_TIME, connect=_wire.CONNECT_TIME),
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
        body: Any = None,
    ) -> Any:
        """Sends a request and returns the JSON of its answer."""
        response = await self._send(
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
            return await self._read(response)
        finally:
            await response.aclose()

    async def page(
        self, path: str, item: Callable[[Json], T], limit: int | None, cursor: str | None
    ) -> Page[T]:
        """A list, or a part of it."""
        query = _wire.parameters(limit=limit, cursor=cursor)
        return Page.read(await self.ask("GET", path, query=query), item)

    async def text(self, path: str) -> str:
        """What a path has, as text."""
        response = await self._send(self._client.build_request("GET", path))
        try:
            return (await response.aread()).decode()
        finally:
            await response.aclose()

    async def chunks(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        """What a path has, piece by piece."""
        request = self._client.build_request("GET", path, headers=dict(headers))
        response = await self._send(request)
        try:
            async for piece in response.aiter_bytes():
                yield piece
        except httpx.HTTPError as error:
            raise self._failed(error) from error
        finally:
            await response.aclose()

    async def events(
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
        return await self._send(request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._client.send(request, stream=True)
            if response.is_success:
                return response
            try:
                await response.aread()
                raise _wire.problem(_json(response), response.status_code)
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise self._failed(error) from error

    async def _read(self, response: httpx.Response) -> Any:
        try:
            await response.aread()
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


class AsyncEvents(Generic[T]):
    """Events as they come. Enter it (``async with``) to be sure that it stands before something
    else is done, or just go through it; leaving it or breaking off ends it."""

    def __init__(
        self,
        connection: AsyncConnection,
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
        self._lines: AsyncIterator[str] | None = None

    async def __aenter__(self) -> AsyncEvents[T]:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends it."""
        response, self._response, self._lines = self._response, None, None
        if response is not None:
            await response.aclose()

    async def _open(self) -> AsyncIterator[str]:
        if self._lines is None:
            method, path, query, body, timeout = self._request
            self._response = await self._connection.events(
                method, path, query=query, body=body, timeout=timeout
            )
            self._lines = self._response.aiter_lines()
        return self._lines

    async def __aiter__(self) -> AsyncIterator[T]:
        lines = await self._open()
        parser = _wire.Lines()
        try:
            async for line in lines:
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
            await self.aclose()
