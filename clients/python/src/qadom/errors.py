"""What can go wrong, one class for each reason of the project's one list.

What must stay true: every refusal of the daemon becomes a :class:`QadomError` whose ``reason`` is
the daemon's; a reason that a newer daemon has and this client has not is still a QadomError.
"""

from __future__ import annotations

from typing import Any

from .models import Held, NamedFile, Written

#: What stands before the reason in the ``type`` of a problem.
PREFIX = "urn:qadom:reason:"


class QadomError(Exception):
    """Something that the daemon refused, or could not do.

    ``reason`` is one of the reasons of the interface, ``detail`` one line for people, ``advice``
    what to do about it, ``status`` the HTTP status (0 when no answer came), ``written`` what was
    written all the same, ``held`` what is there instead of what a compare-and-swap expected,
    ``files`` the files to choose from where a name is ambiguous.
    """

    reason: str = "internal"

    def __init__(
        self,
        detail: str,
        *,
        reason: str | None = None,
        advice: str | None = None,
        status: int = 0,
        written: Written | None = None,
        held: Held | None = None,
        files: tuple[NamedFile, ...] = (),
    ) -> None:
        super().__init__(detail)
        if reason is not None:
            self.reason = reason
        self.detail = detail
        self.advice = advice
        self.status = status
        self.written = written
        self.held = held
        self.files = files

    def __str__(self) -> str:
        advice = f" ({self.advice})" if self.advice else ""
        return f"{self.reason}: {self.detail}{advice}"


class NotFound(QadomError, KeyError):
    """Nothing is there. Also a :class:`KeyError`, so that a dict of the network acts like one."""

    reason = "not-found"
    # KeyError would show the repr.
    __str__ = QadomError.__str__


class NoDaemon(QadomError, ConnectionError):
    """No daemon answers at the socket or the address."""

    reason = "no-daemon"


class TimedOut(QadomError, TimeoutError):
    """The answer did not come in time; what was asked may have been done."""

    reason = "timeout"


class TooLarge(QadomError, ValueError):
    """More bytes than may be: 8192 of a value, 1024 of an item of a bag."""

    reason = "too-large"


class Malformed(QadomError, ValueError):
    """A text is not what it stands for."""

    reason = "malformed"


class Usage(QadomError, ValueError):
    """The request does not make sense, or lacks the token."""

    reason = "usage"


class TooFewCopies(QadomError):
    """Fewer nodes took a copy than were asked for; ``written`` says how many did."""

    reason = "too-few-copies"


class StaleSeq(QadomError):
    """Another version is there than a compare-and-swap expected; ``held`` is what is there."""

    reason = "stale-seq"


class Conflict(QadomError):
    """A writer signed two contents under one version."""

    reason = "conflict"


class Superseded(QadomError):
    """A newer version is there."""

    reason = "superseded"


class Ambiguous(QadomError):
    """Several files carry the name; ``files`` lists them."""

    reason = "ambiguous"


class NotYours(QadomError, PermissionError):
    """Another writer wrote it."""

    reason = "not-yours"


class Blocked(QadomError, PermissionError):
    """The node has nothing to do with that node or key."""

    reason = "blocked"


class Unreachable(QadomError, ConnectionError):
    """A node did not answer."""

    reason = "unreachable"


class Busy(QadomError):
    """As much is going on as may; ask again later."""

    reason = "busy"


class RateLimited(QadomError):
    """Asked too often; ask again later."""

    reason = "rate-limited"


class DiskFull(QadomError, OSError):
    """The disk of the node is full: reads go on."""

    reason = "disk-full"


class Quota(QadomError):
    """The node's share for others is used up."""

    reason = "quota"


class StorageFailed(QadomError, OSError):
    """The disk of the node failed."""

    reason = "storage-failed"


class ShuttingDown(QadomError):
    """The daemon is about to end."""

    reason = "shutting-down"


class WrongNetwork(QadomError):
    """The other node belongs to another network."""

    reason = "wrong-network"


class LifetimeTooLong(QadomError, ValueError):
    """A copy cannot live that long without being renewed."""

    reason = "lifetime-too-long"


def _classes(base: type[QadomError]) -> dict[str, type[QadomError]]:
    return {each.reason: each for each in base.__subclasses__()}


_BY_REASON = _classes(QadomError)


def from_problem(problem: Any, status: int) -> QadomError:
    """The error that a problem (RFC 9457) of the daemon describes."""
    if not isinstance(problem, dict):
        return QadomError(f"the daemon answered {status} without saying why", status=status)
    reason = str(problem.get("type", "")).removeprefix(PREFIX) or "internal"
    written = Written.of(problem) if "receipt" in problem and "key" in problem else None
    held = Held.of(problem["held"]) if problem.get("held") else None
    return _BY_REASON.get(reason, QadomError)(
        str(problem.get("detail", "")),
        reason=reason,
        advice=problem.get("advice"),
        status=status,
        written=written,
        held=held,
        files=tuple(NamedFile.of(file) for file in problem.get("files", ())),
    )
