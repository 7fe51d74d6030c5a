"""Every command and every Python block of the book and of the READMEs runs.

A `console` block has commands behind `$ ` and what they print below; `…` stands for anything, a line
of it alone for any lines. All blocks of a chapter run in one shell and one folder, in which `qadom` is
the binary under test. A block that cannot run says so behind its language: `no-run: REASON`.
"""

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import qadom
from conftest import REPOSITORY

BLOCK = re.compile(r"^```([a-z]+)(?:[ ,]+([^\n]*))?\n(.*?)^```$", re.M | re.S)
NO_RUN = re.compile(r"no[-_]run: (\S.*)")
#: Languages that are no commands: drawn, data, or compiled by `cargo test`.
OTHER = {"rust", "toml", "json", "text", "ini", "proto", "yaml"}
CHAPTERS = [
    REPOSITORY / "README.md",
    REPOSITORY / "clients" / "python" / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
#: How long one command may take, in seconds; the demo takes most.
PATIENCE = 120
MARK = "=== end of a command:"


def blocks(chapter):
    """(line, language, reason why it is not run, text) of each block."""
    text = chapter.read_text()
    for match in BLOCK.finditer(text):
        language, rest, content = match.groups()
        reason = NO_RUN.match(rest or "")
        line = text.count("\n", 0, match.start()) + 1
        yield line, language, reason and reason[1], content


def commands(content):
    """(command, what it prints) of a console block; a backslash goes on in the next line."""
    found = []
    for line in content.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], []])
        elif found and found[-1][0].endswith("\\"):
            found[-1][0] += "\n" + line
        elif found:
            found[-1][1].append(line)
        else:
            raise AssertionError(f"not behind a command: {line!r}")
    return found


def pattern(lines):
    """What printed lines have to look like."""
    parts = []
    for line in lines:
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*?".join(re.escape(part) for part in line.split("…")) + "\n")
    return re.compile("".join(parts))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Shell:
    """One shell in a folder of its own, with ports that nobody else has."""

    def __init__(self, folder, binary):
        self.ports = {port: str(free_port()) for port in ("7236", "7237", "7238")}
        tools = folder / "bin"
        tools.mkdir()
        (tools / "qadom").symlink_to(os.path.abspath(binary))
        environment = {
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder / "share"),
            "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "QADOM_BINARY": os.path.abspath(binary),
            "LC_ALL": "C.UTF-8",
        }
        self.folder = folder
        self.process = subprocess.Popen(
            ["bash"], cwd=folder, env=environment, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )

    def run(self, command):
        """What a command printed, and its exit code."""
        for port, free in self.ports.items():
            command = re.sub(rf"\b{port}\b", free, command)
        # What does not end takes the shell with it, so that the test fails instead of waiting.
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        try:
            return self._run(command)
        finally:
            timer.cancel()

    def _run(self, command):
        self.process.stdin.write(f"{command}\nprintf '\\n%s %s\\n' '{MARK}' $?\n")
        self.process.stdin.flush()
        printed, line = "", ""
        for line in self.process.stdout:
            if line.startswith(MARK):
                # The line break before the mark is the mark's.
                printed = printed.removesuffix("\n")
                break
            printed += line
        for port, free in self.ports.items():
            printed = re.sub(rf"\b{free}\b", port, printed)
        if printed and not printed.endswith("\n"):
            printed += "\n"
        assert line.startswith(MARK), f"did not end: {command}\n{printed}"
        return printed, int(line.split()[-1])

    def close(self):
        if self.process.poll() is not None:
            self.process.stdout.close()
            return
        for control in [*self.folder.rglob("control.sock")]:
            self.run(f"qadom --socket '{control}' stop")
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def runs(chapter):
    return any(language in ("console", "python") and not reason
               for _, language, reason, _ in blocks(chapter))


def name(chapter):
    return str(chapter.relative_to(REPOSITORY))


@pytest.mark.parametrize("chapter", [c for c in CHAPTERS if runs(c)], ids=name)
def test_every_command_of_a_chapter_runs(chapter, binary, tmp_path):
    shell = Shell(tmp_path, binary)
    try:
        for line, language, reason, content in blocks(chapter):
            if reason:
                continue
            if language == "python":
                content = f"$ python - <<'END OF PYTHON' \\\n{content}END OF PYTHON\n…"
                content = content.replace(" \\\n", "\n", 1)
                printed, code = shell.run(content[2:-2])
                assert code == 0, f"{chapter.name}:{line}: {printed}"
            elif language == "console":
                for command, expected in commands(content):
                    printed, code = shell.run(command)
                    where = f"{chapter.name}:{line}: $ {command}\n{printed}"
                    assert code == 0, f"{where}exit {code}"
                    if expected:
                        assert pattern(expected).fullmatch(printed), where
                    else:
                        assert printed == "", where
    finally:
        shell.close()


def test_every_block_has_a_language_that_is_run_or_says_why_not():
    for chapter in CHAPTERS:
        assert "\n```\n\n```\n" not in chapter.read_text()
        for line, language, reason, _ in blocks(chapter):
            known = language in OTHER | {"console", "python"}
            assert known, f"{chapter.name}:{line}: {language}"


def test_every_chapter_is_in_the_summary_and_every_link_leads_somewhere():
    docs = REPOSITORY / "docs"
    assert 'src = "docs"' in (REPOSITORY / "book.toml").read_text()
    summary = (docs / "SUMMARY.md").read_text()
    for chapter in docs.glob("*.md"):
        assert chapter.name == "SUMMARY.md" or f"({chapter.name})" in summary, chapter.name
    for chapter in CHAPTERS:
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", chapter.read_text()):
            assert (chapter.parent / target).exists(), f"{chapter.name}: {target}"


def test_the_limits_of_the_book_are_those_of_a_node():
    _, text = (REPOSITORY / "docs" / "limits.md").read_text().split("## What a node does at once")
    told = {
        name: int(re.sub(r"\D", "", limit))
        for limit, name in re.findall(r"^\|[^|]+\|([^|]+)\| `([a-z-]+)` \|$", text, re.M)
        if re.match(r" [\d ]+(bytes )?$", limit)
    }
    with qadom.Daemon() as daemon, daemon.client() as client:
        limits = {each["name"]: each["limit"] for each in client.status().raw["limits"]}
    assert len(told) >= 10
    assert told == {name: limits.get(name) for name in told}


def test_every_rust_block_of_a_chapter_is_compiled():
    tested = (REPOSITORY / "tests" / "src" / "lib.rs").read_text()
    for chapter in CHAPTERS:
        blocks_of_it = BLOCK.findall(chapter.read_text())
        flags = [rest for language, rest, _ in blocks_of_it if language == "rust"]
        # What is ignored is a test of the reader's own crate.
        if any(rest != "ignore" for rest in flags):
            assert f"../{name(chapter)}" in tested, chapter.name
