"""The files of a node, read by what docs/formats.md says of them and by nothing else."""

import hashlib
import re
import struct
import zlib

import pytest

import qadom

VALUE = b"written down"


@pytest.fixture(scope="module")
def folder(binary, tmp_path_factory):
    """What a node has left that published, withdrew, signed and blocked."""
    folder = tmp_path_factory.mktemp("node")
    with qadom.Daemon() as other, qadom.Daemon(data_dir=folder, join=[other.address]) as daemon:
        with daemon.client() as client:
            client.join(other.address)
            client.put(VALUE)
            client.dict["colour"] = "green"
            client.dict.options(once=True).set("smell", "none")
            client.withdraw(client.put("withdrawn").key)
            client.block("name:not this", duration="1h")
            client.block("name:nor this")
            client.unblock("name:nor this")
    return folder


def little(data):
    return int.from_bytes(data, "little")


def checked(data):
    """What precedes the CRC-32 at the end."""
    assert zlib.crc32(data[:-4]) == little(data[-4:])
    return data[:-4]


def test_the_key_of_a_node(folder):
    file = folder / "node.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_bytes()) == 69 and checked(file.read_bytes())[0] == 1


def test_an_identity(folder):
    file = folder / "identities" / "default"
    assert file.stat().st_mode & 0o777 == 0o600
    text, digits = re.fullmatch(
        r"(qadom-identity-1:[0-9a-f]{64}:)([0-9a-f]{8})\n", file.read_text()
    ).groups()
    assert zlib.crc32(text.removesuffix(":").encode()) == int(digits, 16)


def test_the_contacts(folder):
    content = checked((folder / "contacts").read_bytes())
    magic = b"qadom contacts\n"
    assert content.startswith(magic + b"\x02")
    rest = content[len(magic) + 1 :]
    assert little(rest[:8]) > 1_700_000_000_000_000
    rest, contacts = rest[8:], []
    while rest:
        length = little(rest[:2])
        packed, rest = rest[2 : 2 + length], rest[2 + length :]
        while packed:
            flags, key = packed[0], packed[1:33]
            size = 33 + (6 if flags & 2 else 0) + (18 if flags & 4 else 0)
            packed = packed[size:]
            contacts.append((key, little(rest[:8])))
            rest = rest[8:]
    assert len(contacts) == 1 and contacts[0][1] > 1_700_000_000


def frames(content, salt):
    """(tag, name, bytes) of each frame."""
    while content:
        length, checksum = struct.unpack("<II", content[:8])
        body, rest = content[8 : 8 + length], content[8 + length :]
        assert zlib.crc32(salt + content[:4] + body) == checksum
        yield body[0], body[2 : 2 + body[1]], body[2 + body[1] :]
        content = rest


def test_the_journal(folder):
    content = (folder / "journal").read_bytes()
    header = checked(content[:27])
    assert header.startswith(b"qadom journal\n\x01")
    entries = {}
    for tag, name, entry in frames(content[27:], header[-8:]):
        assert tag == 1 or entry == b""
        entries.pop(name, None)
        if tag == 1:
            entries[name] = entry
    numbers = {1: 1, 2: 2, 3: 4, 4: 5, 5: 6, 6: 7}
    assert all(entry[:2] == bytes([1, numbers[name[0]]]) for name, entry in entries.items())

    def published(kind):
        return {name: entry for name, entry in entries.items() if name[:2] == bytes([1, kind])}

    ((name, entry),) = published(0).items()
    assert name[2:] == hashlib.sha256(VALUE).digest() + bytes(32)
    life, renewed, expires, _, state, form = struct.unpack(">IQQIBB", entry[2:28])
    assert (life, state, form, entry[28:]) == (36 * 3600, 0, 0, VALUE)
    assert renewed + life == expires
    ((name, entry),) = published(2).items()
    assert entry[27] == 1 and b"green" in entry and name[2:34] in entry
    renewal = entries[b"\x02" + name[1:]]
    assert renewal[2:67] == name[1:]
    assert struct.unpack(">QQIB", renewal[67:])[2:] == (2, 0)
    (signed,) = (entry for name, entry in entries.items() if name[:2] == b"\x03\x02")
    assert len(signed) == 2 + 65 + 16 and signed[2:67] != name[1:]
    (blocked,) = (entry for name, entry in entries.items() if name[0] == 6)
    assert blocked[2] == 2 and len(blocked) == 3 + 32 + 8
    assert 1_700_000_000 < int.from_bytes(blocked[-8:], "big") < 1 << 63
