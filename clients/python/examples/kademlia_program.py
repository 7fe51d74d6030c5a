"""A program for the package kademlia. What was changed is the import: it was
``from kademlia.network import Server``.

Run it: python examples/kademlia_program.py
"""

import asyncio
import socket

from qadom.kademlia.network import Server


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def main():
    ports = [free_port() for _ in range(3)]
    servers = [Server() for _ in ports]
    for server, port in zip(servers, ports):
        await server.listen(port, interface="127.0.0.1")
    for server in servers[1:]:
        await server.bootstrap([("127.0.0.1", ports[0])])

    settings = {"name": "Ada", "born": 1815, "height": 1.65, "programs": True, "raw": b"\x00\xff"}
    for key, value in settings.items():
        stored = await servers[1].set(key, value)
        print("set", key, stored)
    for key in [*settings, "unknown"]:
        value = await servers[2].get(key)
        print("get", key, type(value).__name__, value)

    try:
        await servers[1].set("list", [1, 2, 3])
    except TypeError as error:
        print("refused:", type(error).__name__)

    neighbors = servers[0].bootstrappable_neighbors
    print("neighbors known:", neighbors is not None)
    for server in servers:
        server.stop()


asyncio.run(main())
