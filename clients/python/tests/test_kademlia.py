"""The stand-in for the package kademlia, and that the same program says the same with both."""

import asyncio
import math

import pytest

from qadom.kademlia import Server
from qadom.kademlia.network import decode, encode


@pytest.mark.parametrize(
    "value",
    [0, -1, 1 << 300, True, False, 1.0, -0.0, 1e300, math.inf, "", "text", "42", "true", "ü\0",
     b"", b"\0", b"bytes", b'"json"', b"\xff\xfe"],
)
def test_values_come_back_as_the_type_that_was_set(value):
    back = decode(encode(value))
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, (1,), {1}, object(), bytearray(b"x")])
def test_other_types_are_refused(value):
    with pytest.raises(TypeError):
        encode(value)


def test_what_others_wrote_is_a_text_or_bytes():
    assert decode(b"plain text") == "plain text"
    assert decode(b"[1]") == "[1]"
    assert decode(b"null") == "null"
    assert decode(b"\xff") == b"\xff"


def test_two_servers_set_get_and_come_back(tmp_path, fresh):
    async def run():
        first, second = Server(), Server()
        await first.listen(0, "127.0.0.1")
        assert await first.set(fresh, 7) is True
        await second.listen(0, "127.0.0.1")
        status = await first._running().status()
        host, _, port = status.address.rpartition("@")[2].rpartition(":")
        assert await second.bootstrap([(host, int(port))]) == [f"{host}:{port}"]
        assert await second.bootstrap([("127.0.0.1", 1)]) == []
        assert await second.get(fresh) == 7
        assert await second.get(fresh.encode()) == 7
        assert await second.get(fresh + "?") is None
        await second.set(b"\xff" + fresh.encode(), "a key of bytes")
        assert await first.get(b"\xff" + fresh.encode()) == "a key of bytes"
        await first.set("k" * 300, 1.5)
        assert await second.get("k" * 300) == 1.5
        state = tmp_path / "state"
        await second.save_state(str(state))
        second.save_state_regularly(str(state), 3600)
        assert await second.bootstrappable_neighbors() == [(host, int(port))]
        assert second.stop() is None
        third = await Server.load_state(str(state), 0, "127.0.0.1")
        assert await third.get(fresh) == 7
        third.stop()
        first.stop()
        with pytest.raises(RuntimeError):
            await first.get(fresh)

    asyncio.run(run())


def test_another_ksize_is_refused():
    with pytest.raises(ValueError):
        Server(ksize=5)
