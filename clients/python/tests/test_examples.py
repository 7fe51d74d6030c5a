"""Every example runs; the one that was written for kademlia says the same with kademlia itself."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((PYTHON / "examples").glob("*.py"))


def run(arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example):
    assert run([example])


def test_a_program_of_kademlia_differs_in_its_import_alone(tmp_path):
    ported = PYTHON / "examples" / "kademlia_program.py"
    source = ported.read_text()
    changed = "from qadom.kademlia.network import Server"
    assert source.count("\n" + changed) == 1
    if importlib.util.find_spec("kademlia") is None:
        pytest.skip("skipped: the package kademlia, to compare with, is not installed")
    original = tmp_path / "original.py"
    original.write_text(source.replace(changed, "from kademlia.network import Server"))
    assert run([original]) == run([ported])


def test_the_blocking_client_is_made_of_the_one_for_asyncio():
    run([PYTHON / "make_sync.py", "--check"])
