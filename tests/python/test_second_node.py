"""The script that was written from the wire chapter alone talks to real nodes."""

import re
import subprocess
import sys

import qadom
from conftest import REPOSITORY

SCRIPT = REPOSITORY / "docs" / "second_node.py"
LINES_MAX = 150


def run(*arguments):
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_it_joins_pings_finds_and_gets_values_of_every_size(testnet):
    place = testnet[5]["address"].split("@")[1]
    with qadom.Client(socket=testnet[1]["socket"]) as client:
        for content in [b"sudo python", bytes(8192)]:
            written = client.put(content)
            done = run(place, written.key)
            assert done.returncode == 0, done.stderr
            assert re.search(r"^ping: speaks versions 1 to 1 storing: True$", done.stdout, re.M)
            assert int(re.search(r"^find: (\d+) nodes$", done.stdout, re.M)[1]) >= 20
            assert f"get: {len(content)} bytes" in done.stdout


def test_what_nobody_has_is_not_found(testnet):
    done = run(testnet[0]["address"].split("@")[1], "00" * 32)
    assert done.returncode == 1 and "nobody has it" in done.stderr


def test_it_can_be_read_at_once():
    lines = [line.strip() for line in SCRIPT.read_text().splitlines()]
    assert len([line for line in lines if line and not line.startswith("#")]) <= LINES_MAX
