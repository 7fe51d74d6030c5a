"""What the daemon tells, as typed objects.

What must stay true: fields that a newer daemon adds are skipped, since fields are only ever added;
bytes are bytes and moments are moments, so that nobody decodes Base64 twice.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, Mapping, TypeVar

Json = Mapping[str, Any]
T = TypeVar("T")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _bytes(json: Json) -> bytes:
    return base64.b64decode(json["value_base64"])


class Page(list[T]):
    """A list, or a part of one: ``cursor`` is where the next part begins, None when there is none."""

    cursor: str | None = None

    @classmethod
    def read(cls, json: Json, item: Callable[[Json], T]) -> Page[T]:
        page = cls(item(each) for each in json["items"])
        page.cursor = json.get("cursor")
        return page


@dataclass(frozen=True)
class Refusal:
    """A node that did not take a copy, and why."""

    node: str
    reason: str


@dataclass(frozen=True)
class Receipt:
    """What became of the copies of a write.

    ``wanted`` copies would be kept by a large network, ``reachable`` storing nodes were found,
    ``stored`` durable copies are acknowledged. ``alone``: the node knows no other and has the only
    copy. ``expires_at``: when the holders forget it unless it is renewed.
    """

    wanted: int
    reachable: int
    stored: int
    alone: bool
    refused: tuple[Refusal, ...]
    hops: int
    messages: int
    took_ms: float
    expires_at: datetime

    @classmethod
    def of(cls, json: Json) -> Receipt:
        return cls(
            wanted=json["wanted"],
            reachable=json["reachable"],
            stored=json["stored"],
            alone=json["alone"],
            refused=tuple(Refusal(each["node"], each["reason"]) for each in json["refused"]),
            hops=json["hops"],
            messages=json["messages"],
            took_ms=json["took_ms"],
            expires_at=_moment(json["expires_at"]),
        )


@dataclass(frozen=True)
class Written:
    """A write: the key (of a name of the dict its slot) and the receipt; for what is signed also
    the writer's public key and the version, for entries of a namespace the content signature."""

    key: str
    receipt: Receipt
    writer: str | None = None
    seq: int | None = None
    public_key: str | None = None
    signature: str | None = None

    @classmethod
    def of(cls, json: Json) -> Written:
        return cls(
            key=json["key"],
            receipt=Receipt.of(json["receipt"]),
            writer=json.get("writer"),
            seq=json.get("seq"),
            public_key=json.get("public_key"),
            signature=json.get("signature"),
        )


@dataclass(frozen=True)
class Value:
    """A value that was read, and who gave it (``local`` or a node id)."""

    key: str
    value: bytes
    source: str
    age_ms: int
    hops: int
    messages: int

    @classmethod
    def of(cls, json: Json) -> Value:
        return cls(
            key=json["key"],
            value=_bytes(json),
            source=json["source"],
            age_ms=json["age_ms"],
            hops=json["hops"],
            messages=json["messages"],
        )


@dataclass(frozen=True)
class Entry:
    """What a writer signed, as a read found it."""

    key: str
    value: bytes
    source: str
    age_ms: int
    writer: str
    seq: int
    signature: str
    expires_at: datetime
    conflict: bool
    hops: int
    messages: int

    @classmethod
    def of(cls, json: Json) -> Entry:
        return cls(
            key=json["key"],
            value=_bytes(json),
            source=json["source"],
            age_ms=json["age_ms"],
            writer=json["writer"],
            seq=json["seq"],
            signature=json["signature"],
            expires_at=_moment(json["expires_at"]),
            conflict=json.get("conflict", False),
            hops=json["hops"],
            messages=json["messages"],
        )


@dataclass(frozen=True)
class Held:
    """What is there instead of what a compare-and-swap expected."""

    writer: str
    seq: int
    deleted: bool
    value: bytes

    @classmethod
    def of(cls, json: Json) -> Held:
        return cls(json["writer"], json["seq"], json["deleted"], _bytes(json))


@dataclass(frozen=True)
class BagItem:
    """An item of a bag, and the public keys of all who added it."""

    value: bytes
    writers: tuple[str, ...]
    expires_at: datetime

    @classmethod
    def of(cls, json: Json) -> BagItem:
        return cls(_bytes(json), tuple(json["writers"]), _moment(json["expires_at"]))


@dataclass(frozen=True)
class BagList:
    """The items of a bag; ``complete`` says whether enough holders agree that these are all.
    ``cursor`` leads to the next page where a limit was given."""

    key: str
    items: tuple[BagItem, ...]
    complete: bool
    cursor: str | None

    @classmethod
    def of(cls, json: Json) -> BagList:
        items = tuple(BagItem.of(item) for item in json["items"])
        return cls(json["key"], items, json["complete"], json.get("cursor"))


@dataclass(frozen=True)
class Event:
    """A message of a topic, or a change of a slot that is watched. From its ``cursor`` one goes on
    after an interruption."""

    slot: str
    writer: str
    seq: int
    value: bytes
    cursor: str
    deleted: bool = False


@dataclass(frozen=True)
class Gap:
    """Records that will not come any more."""

    writer: str | None
    stream: int
    from_seq: int
    to_seq: int


def event_of(json: Json) -> Event | Gap:
    """An event or a gap in what is followed."""
    if "gap" in json:
        gap = json["gap"]
        return Gap(gap.get("writer"), gap["stream"], gap["from_seq"], gap["to_seq"])
    return Event(
        slot=json["slot"],
        writer=json["writer"],
        seq=json["seq"],
        value=_bytes(json),
        cursor=json["cursor"],
        deleted=json.get("deleted", False),
    )


@dataclass(frozen=True)
class Peer:
    """A contact of the routing table; ``bucket`` is the number of leading bits it shares with us."""

    node: str
    address: str
    mode: str
    rtt_ms: float | None
    last_seen: datetime
    bucket: int

    @classmethod
    def of(cls, json: Json) -> Peer:
        return cls(
            node=json["node"],
            address=json["address"],
            mode=json["mode"],
            rtt_ms=json["rtt_ms"],
            last_seen=_moment(json["last_seen"]),
            bucket=json["bucket"],
        )


@dataclass(frozen=True)
class LookupStep:
    """One step of a lookup: a node was ``asked``, ``answered``, is ``slow`` or ``failed``."""

    at_ms: float
    event: str
    node: str
    addresses: tuple[str, ...]
    hop: int
    shared_bits: int

    @classmethod
    def of(cls, json: Json) -> LookupStep:
        return cls(
            at_ms=json["at_ms"],
            event=json["event"],
            node=json["node"],
            addresses=tuple(json["addresses"]),
            hop=json["hop"],
            shared_bits=json["shared_bits"],
        )


@dataclass(frozen=True)
class Lookup:
    """A lookup: its steps, and the ids of the nodes nearest to the key, nearest first."""

    steps: tuple[LookupStep, ...]
    closest: tuple[str, ...]
    hops: int
    messages: int
    took_ms: float

    @classmethod
    def of(cls, json: Json) -> Lookup:
        return cls(
            steps=tuple(LookupStep.of(step) for step in json["steps"]),
            closest=tuple(node["node"] for node in json["closest"]),
            hops=json["hops"],
            messages=json["messages"],
            took_ms=json["took_ms"],
        )


@dataclass(frozen=True)
class Pong:
    """A ping that was answered."""

    node: str
    rtt_ms: float
    observed: str | None

    @classmethod
    def of(cls, json: Json) -> Pong:
        return cls(json["node"], json["rtt_ms"], json.get("observed"))


@dataclass(frozen=True)
class Joined:
    """A join: how many contacts the table has now, and what was wrong with which address."""

    peers: int
    problems: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, json: Json) -> Joined:
        problems = json["problems"]
        return cls(
            json["peers"],
            tuple((each["address"], each["reason"], each["detail"]) for each in problems),
        )


@dataclass(frozen=True)
class Publication:
    """What the node keeps alive."""

    key: str
    kind: str
    identity: str | None
    renewed_at: datetime
    expires_at: datetime
    stored: int
    state: str

    @classmethod
    def of(cls, json: Json) -> Publication:
        return cls(
            key=json["key"],
            kind=json["kind"],
            identity=json.get("identity"),
            renewed_at=_moment(json["renewed_at"]),
            expires_at=_moment(json["expires_at"]),
            stored=json["stored"],
            state=json["state"],
        )


@dataclass(frozen=True)
class Identity:
    """An identity that the node can sign as."""

    name: str
    public_key: str

    @classmethod
    def of(cls, json: Json) -> Identity:
        return cls(json["name"], json["public_key"])


@dataclass(frozen=True)
class Block:
    """What the node has nothing to do with: ``kind`` is ``node``, ``key`` or ``group`` (of
    addresses), ``why`` is ``by-hand`` or ``lies``; ``until`` is None for one without an end."""

    kind: str
    what: str
    why: str
    until: datetime | None

    @classmethod
    def of(cls, json: Json) -> Block:
        until = json.get("until")
        return cls(json["kind"], json["what"], json["why"], _moment(until) if until else None)


@dataclass(frozen=True)
class File:
    """A file that is here, whole or in part."""

    id: str
    size: int
    name: str
    content_type: str
    kind: str
    state: str
    held: int | None
    path: str | None

    @classmethod
    def of(cls, json: Json) -> File:
        return cls(
            id=json["id"],
            size=json["size"],
            name=json["name"],
            content_type=json["content_type"],
            kind=json["kind"],
            state=json["state"],
            held=json.get("held"),
            path=json.get("path"),
        )


@dataclass(frozen=True)
class NamedFile:
    """One of several files under a name."""

    id: str
    size: int
    content_type: str
    writers: tuple[str, ...]

    @classmethod
    def of(cls, json: Json) -> NamedFile:
        return cls(json["id"], json["size"], json["content_type"], tuple(json["writers"]))


@dataclass(frozen=True)
class FileProgress:
    """How far the work on a file is, in bytes; ``phase`` is ``finding``, ``hashing``, ``fetching``,
    ``pushing`` or ``announcing``."""

    phase: str
    done: int
    size: int | None
    rate: int
    peers: int

    @classmethod
    def of(cls, json: Json) -> FileProgress:
        return cls(json["phase"], json["done"], json.get("size"), json["rate"], json["peers"])


@dataclass(frozen=True)
class FileDone:
    """A file that was added, pushed or fetched. ``receipt`` and ``key`` (where it is announced) are
    there for what was added, ``smallest_copies`` for what was pushed, ``path`` for what was fetched
    to a place."""

    id: str
    size: int
    chunks: int
    key: str | None = None
    receipt: Receipt | None = None
    smallest_copies: int | None = None
    path: str | None = None

    @classmethod
    def of(cls, json: Json) -> FileDone:
        receipt = json.get("receipt")
        return cls(
            id=json["id"],
            size=json["size"],
            chunks=json["chunks"],
            key=json.get("key"),
            receipt=Receipt.of(receipt) if receipt else None,
            smallest_copies=json.get("smallest_copies"),
            path=json.get("path"),
        )


@dataclass(frozen=True)
class FileStatus:
    """What is known of a file and of its copies at other nodes."""

    id: str
    size: int
    chunks: int
    here: int
    whole: bool
    holders: int
    smallest_copies: int

    @classmethod
    def of(cls, json: Json) -> FileStatus:
        return cls(
            id=json["id"],
            size=json["size"],
            chunks=json["chunks"],
            here=json["here"],
            whole=json["whole"],
            holders=json["holders"],
            smallest_copies=json["smallest_copies"],
        )


@dataclass(frozen=True)
class Status:
    """What the node tells about itself; ``raw`` has all of it."""

    node: str
    address: str
    network: str
    mode: str
    local: bool
    verdict: str
    reasons: tuple[str, ...]
    peers: int
    raw: Json

    @classmethod
    def of(cls, json: Json) -> Status:
        return cls(
            node=json["node"],
            address=json["address"],
            network=json["network"],
            mode=json["mode"],
            local=json["local"],
            verdict=json["verdict"],
            reasons=tuple(json["reasons"]),
            peers=json["peers"],
            raw=json,
        )


@dataclass(frozen=True)
class Check:
    """One thing that an examination of the node looked at."""

    name: str
    ok: bool
    detail: str
    advice: str | None


@dataclass(frozen=True)
class Diagnosis:
    """What an examination of the node found."""

    verdict: str
    checks: tuple[Check, ...]

    @classmethod
    def of(cls, json: Json) -> Diagnosis:
        checks = (Check(c["name"], c["ok"], c["detail"], c.get("advice")) for c in json["checks"])
        return cls(json["verdict"], tuple(checks))
