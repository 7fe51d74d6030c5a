"""What makes the dict of the network a dict of Python, blocking and with asyncio.

What must stay true: ``[]`` of a name under which nothing is raises NotFound, which is a KeyError.
Names cannot be listed, since nobody on the network knows all of them; so this is no Mapping.
"""

from __future__ import annotations

from typing import Any, Awaitable

from ._wire import Content
from .errors import NotFound
from .models import Entry, Written


class AsyncNames:
    """``await names["name"]``, ``await names.contains("name")``."""

    async def read(self, name: str) -> Entry:
        """What is set under a name, with all that is known of it."""
        raise NotImplementedError

    def __getitem__(self, name: str) -> Awaitable[bytes]:
        return self._value(name)

    async def _value(self, name: str) -> bytes:
        return (await self.read(name)).value

    async def contains(self, name: str) -> bool:
        """Whether something is set under a name."""
        try:
            await self.read(name)
        except NotFound:
            return False
        return True


class Names:
    """``names["name"]``, ``names["name"] = content``, ``del names["name"]``, ``"name" in names``."""

    def read(self, name: str) -> Entry:
        """What is set under a name, with all that is known of it."""
        raise NotImplementedError

    def set(self, name: str, content: Content) -> Written:
        """Sets a name."""
        raise NotImplementedError

    def delete(self, name: str) -> Written:
        """Deletes a name."""
        raise NotImplementedError

    def __getitem__(self, name: str) -> bytes:
        return self.read(name).value

    def __setitem__(self, name: str, content: Content) -> None:
        self.set(name, content)

    def __delitem__(self, name: str) -> None:
        self.read(name)
        self.delete(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.contains(name)

    def contains(self, name: str) -> bool:
        """Whether something is set under a name."""
        try:
            self.read(name)
        except NotFound:
            return False
        return True

    def __iter__(self) -> Any:
        raise TypeError("the names of a network cannot be listed: nobody knows all of them")
