"""What the tests that are written in Python share: the binary, and networks of real daemons."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

import qadom

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", autouse=True)
def binary():
    """QADOM_BINARY, else what cargo has built."""
    built = [REPOSITORY / "target" / kind / "qadom" for kind in ("debug", "release")]
    for candidate in [os.environ.get("QADOM_BINARY"), *built]:
        if candidate and Path(candidate).exists():
            os.environ["QADOM_BINARY"] = str(candidate)
            return str(candidate)
    pytest.exit("build qadom first (cargo build), or name a binary in QADOM_BINARY", 1)


@pytest.fixture(scope="session")
def testnet(binary):
    """Nodes of one process; the address texts of all of them."""
    count = 24
    command = [binary, "--json", "testnet", "--nodes", str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield [json.loads(process.stdout.readline()) for _ in range(count)]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stdout.close()


@pytest.fixture(scope="session")
def page_node(testnet):
    """A node with the control API on TCP, joined to the network, with something written by it."""
    arguments = ["--http", "127.0.0.1:0"]
    with qadom.Daemon(join=[testnet[0]["address"]], arguments=arguments) as daemon:
        with daemon.client() as client:
            client.join(testnet[0]["address"])
            for number in range(6):
                client.put(f"value {number}")
                client.dict[f"name {number}"] = "content"
            client.bag("name:fruit").add("apple")
        yield daemon
