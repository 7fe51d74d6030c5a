"""A small network of real daemons, shared by all tests.

Each test writes under names of its own, so that no test depends on what another one did.
"""

import itertools
import os
import sys
from pathlib import Path

import pytest

import qadom

REPOSITORY = Path(__file__).resolve().parents[3]
TOKEN = "0123456789abcdef-token"


def binary() -> str:
    """QADOM_BINARY, else what cargo has built."""
    given = os.environ.get("QADOM_BINARY")
    built = [REPOSITORY / "target" / kind / "qadom" for kind in ("debug", "release")]
    for candidate in [given, *built]:
        if candidate and Path(candidate).exists():
            return str(candidate)
    pytest.exit("build qadom first (cargo build), or name a binary in QADOM_BINARY", 1)
    sys.exit(1)


@pytest.fixture(scope="session", autouse=True)
def the_binary():
    """Daemon and the examples find the binary here."""
    os.environ["QADOM_BINARY"] = binary()
    return os.environ["QADOM_BINARY"]


@pytest.fixture(scope="session")
def daemons(the_binary, tmp_path_factory):
    """Three nodes; the first one has its control API on TCP, too, behind a token."""
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(TOKEN)
    http = ["--http", "127.0.0.1:0", "--http-token-file", str(token)]
    with qadom.Daemon(arguments=http) as first:
        with qadom.Daemon(join=[first.address]) as second:
            with qadom.Daemon(join=[first.address]) as third:
                for each in (second, third):
                    with each.client() as client:
                        client.join(first.address)
                yield [first, second, third]


@pytest.fixture
def clients(daemons):
    """A blocking client of each node."""
    clients = [daemon.client() for daemon in daemons]
    yield clients
    for client in clients:
        client.close()


_numbers = itertools.count()


@pytest.fixture
def fresh(request):
    """A name that nobody has used."""
    return f"{request.node.name}-{next(_numbers)}"
