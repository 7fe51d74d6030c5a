"""The client for asyncio: the same calls, many of them at once."""

import asyncio

import pytest

import qadom


def test_every_view_with_asyncio(daemons, fresh):
    async def run():
        async with daemons[0].async_client() as one, daemons[1].async_client() as other:
            written = await one.put(b"async")
            assert await other.get(written.key) == b"async"
            await one.dict.set(fresh, "set")
            assert await other.dict[fresh] == b"set"
            assert await other.dict.contains(fresh)
            assert not await other.dict.contains(fresh + "?")
            with pytest.raises(KeyError):
                await other.dict[fresh + "?"]
            await one.bag(qadom.name(fresh)).add("item")
            assert await other.bag(qadom.name(fresh)).items() == {b"item"}
            async with other.topic(fresh).subscribe() as events:
                await one.topic(fresh).publish("hello")
                async for event in events:
                    assert event.value == b"hello"
                    break
            (many,) = await one.put_many(["many"])
            (found,) = await other.get_many([many.key])
            assert found.value == b"many"
            assert len(await one.publications(limit=1)) == 1
            steps = [step async for step in one.trace("name:x")]
            assert isinstance(steps[-1], qadom.Lookup)

    asyncio.run(run())


def test_many_calls_at_once(daemons, fresh):
    async def run():
        async with daemons[0].async_client() as one, daemons[2].async_client() as other:
            names = [f"{fresh}-{number}" for number in range(50)]
            await asyncio.gather(*(one.dict.set(name, name) for name in names))
            read = await asyncio.gather(*(other.dict.get(name) for name in names))
            assert read == [name.encode() for name in names]

    asyncio.run(run())


def test_a_follower_that_is_cancelled_leaves_nothing_open(daemons, fresh):
    async def run():
        async with daemons[0].async_client() as client:

            async def follow():
                async for _ in client.topic(fresh).subscribe():
                    pass

            following = asyncio.create_task(follow())
            await client.status()
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following
            assert (await client.status()).verdict

    asyncio.run(run())
