"""What is in packaging/ is what dpkg, systemd, Docker, Compose and Kubernetes take, and names what
there is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY

PACKAGING = REPOSITORY / "packaging"
TOOLS = Path(sys.executable).parent


def run(*command, **environment):
    return subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **environment},
    )


def test_systemd_takes_the_unit_and_finds_it_hardened(binary, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("skipped: no systemd-analyze here")
    text = (PACKAGING / "debian" / "qadom.service").read_text()
    unit = tmp_path / "qadom.service"
    # The unit names the installed binary, which is not on this machine.
    unit.write_text(text.replace("/usr/bin/qadom", os.path.abspath(binary)))
    verified = run("systemd-analyze", "--man=no", "verify", unit)
    assert verified.returncode == 0 and "qadom.service" not in verified.stderr, verified.stderr
    judged = run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
    if "not supported" in judged.stderr or "unrecognized option" in judged.stderr:
        pytest.skip("skipped: this systemd-analyze does not judge units offline")
    assert judged.returncode == 0, judged.stdout


def test_compose_and_kubernetes_take_their_files():
    schema = "vendor.compose-spec"
    compose = PACKAGING / "docker" / "compose.yaml"
    checked = run(TOOLS / "check-jsonschema", "--builtin-schema", schema, compose)
    assert checked.returncode == 0, checked.stdout
    assert compose.read_text().count("<<: *node") == 5
    cluster = PACKAGING / "kubernetes" / "qadom.yaml"
    checked = run(TOOLS / "kubernetes-validate", "--strict", cluster)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("passed") == 3


def test_the_dockerfile_is_in_order_and_copies_what_there_is():
    file = PACKAGING / "docker" / "Dockerfile"
    read = run(TOOLS / "hadolint", "--no-color", file)
    assert read.returncode == 0, read.stdout
    # What is left out of the copy is nothing that the build needs.
    left_out = Path(f"{file}.dockerignore").read_text().split()
    assert not {"crates", "proto", "tests", "Cargo.toml", "Cargo.lock"} & set(left_out)
    manifest = (REPOSITORY / "Cargo.toml").read_text()
    version = re.search(r'^rust-version = "(.+)"', manifest, re.M)[1]
    assert f"FROM rust:{version}-" in file.read_text()


def test_the_debian_package_installs_answers_and_leaves_nothing(binary):
    if shutil.which("cargo-deb") is None:
        pytest.skip("skipped: a Debian package is built with cargo-deb, which is not here")
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("skipped: a bare Debian to install on needs root and debootstrap")
    built = run(PACKAGING / "build-deb", "--fast", "--quiet", QADOM_BINARY=binary)
    assert built.returncode == 0, built.stderr
    (package,) = (REPOSITORY / "target" / "debian").glob("qadom_*.deb")
    # The binary under test wants the C library of this machine.
    machine = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)[1]
    tested = run(PACKAGING / "test-deb", package, QADOM_TEST_SUITE=machine)
    assert tested.returncode == 0 and "removed cleanly" in tested.stdout, tested.stdout + tested.stderr


def test_the_settings_of_the_package_are_settings(binary, tmp_path):
    settings = PACKAGING / "debian" / "qadom.toml"
    for text in [settings.read_text(), settings.read_text().replace("# http =", "http =")]:
        file = tmp_path / "qadom.toml"
        file.write_text(text)
        printed = run(binary, "node", "--config", file, "--print-config")
        assert printed.returncode == 0, printed.stderr


def test_every_flag_that_is_used_here_exists(binary):
    known = run(binary, "node", "--help").stdout
    for file in PACKAGING.rglob("*.yaml"):
        for flag in re.findall(r"[ \[](--[a-z-]+)", file.read_text()):
            assert flag in known or flag == "--build", (file.name, flag)


def test_each_crate_packs_what_it_is_built_of():
    for crate in sorted((REPOSITORY / "crates").iterdir()):
        listed = run("cargo", "package", "--offline", "--allow-dirty", "--list", "--package", crate.name)
        if "--offline" in listed.stderr:
            pytest.skip("skipped: cargo does not have the index of its registry")
        assert listed.returncode == 0, listed.stderr
        files = set(listed.stdout.split())
        assert {"Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE"} <= files, crate.name
        assert {"src/lib.rs", "src/main.rs"} & files, crate.name
        assert needed(crate) <= files, (crate.name, needed(crate) - files)


def needed(crate):
    """What the sources of a crate take in when they are compiled."""
    taken = set()
    for source in crate.glob("src/**/*.rs"):
        for name in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source.read_text()):
            taken.add(os.path.relpath(source.parent / name, crate))
    for folder in ("proto", "dashboard", "scenarios"):
        found = (file for file in (crate / folder).glob("**/*") if file.is_file())
        taken |= {str(file.relative_to(crate)) for file in found}
    if (crate / "build.rs").exists():
        taken.add("build.rs")
    return taken
