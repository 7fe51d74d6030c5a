"""What the first qadom, the one in Python, had: values found by their hash, bags, and namespaces
that one writer alone can set. Keys, public keys and signatures may be the decimal numbers it used.

Run it: python examples/values_bag_namespace.py
"""

import asyncio

import qadom


async def main() -> None:
    with qadom.Daemon() as first, qadom.Daemon(join=[first.address]) as second:
        async with first.async_client() as alice, second.async_client() as bob:
            # A value: its key is the SHA-256 of it, as it always was.
            written = await alice.put(b"sudo python")
            key = int(written.key, 16)
            print("value:", key, await bob.get(key))

            # A bag: the union of what everybody has added; unknown bags are empty.
            await alice.bag(key).add(1)
            await bob.bag(key).add(2)
            items = await alice.bag(key).items()
            print("bag:", sorted(int.from_bytes(item, "big") for item in items))

            # A namespace: set by its owner, read by all under the owner's public key. The
            # signature pins one content, where the older one needed it for every read.
            entry = await alice.namespace().set(key, b"by Alice")
            assert entry.public_key and entry.signature
            owner, signature = int(entry.public_key, 16), int(entry.signature, 16)
            read = await bob.namespace().read(owner, key, signature=signature)
            print("namespace:", read.value, "version", read.seq)

            # What was a sketch there works here: messages to all who subscribe.
            async with bob.topic("news").subscribe() as events:
                await alice.topic("news").publish("it works")
                async for event in events:
                    assert isinstance(event, qadom.Event)
                    print("topic:", event.value)
                    break


asyncio.run(main())
