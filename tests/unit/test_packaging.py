"""What a deploy installs: floors below which something is known to be wrong, a lock that keeps to them, and an audit that
does not call it clean where nothing was looked up."""

import json
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "deploy" / "requirements.lock").read_text()

# The floor, a version below it, and what is wrong down there.
FLOORS = {
    "aiohttp": (
        "3.14.4",
        "3.14.3",
        "dribbled frames (PYSEC-2026-4389), CVE-2026-54274, smuggled upgrades (GHSA-mfx4-hv73-q22v)",
    ),
    "pyjwt": (
        "2.13",
        "2.12.1",
        "CVE-2026-48522 to CVE-2026-48526; below 2.12 an unknown `crit` passes (CVE-2026-32597)",
    ),
    "marshmallow": ("4.1.2", "4.1.1", "CVE-2025-68480; below 4 other rules for defaults and validators"),
    "redis": ("8.1", "8.0.1", "other timeouts, keepalive and retries; the subscriber's guards were measured on 8.1"),
}
TEST_FLOORS = {
    "pytest-asyncio": (
        "1.5",
        "1.4",
        "the two loop scopes were measured on 1.5; below 1 there is an event_loop fixture",
    ),
}
# What an extra is for: the distribution that it brings.
EXTRAS = {
    ("redis", "hiredis"): "hiredis",
    ("pyjwt", "crypto"): "cryptography",
    ("apispec", "marshmallow"): "marshmallow",
}


def _setup() -> ConfigParser:
    setup = ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    return setup


def _requirements(text: str) -> dict[str, Requirement]:
    lines = [line for line in text.split("\n") if line.strip() and "%(" not in line]
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, lines)}


def _installed() -> dict[str, Requirement]:
    return _requirements(_setup()["options"]["install_requires"])


def _pins() -> dict[str, str]:
    return dict(re.findall(r"^(\S+?)==(\S+)", LOCK, re.MULTILINE))


@pytest.mark.parametrize("name", FLOORS)
def test_no_version_with_a_known_fault_may_be_installed(name: str) -> None:
    _stands(_installed()[name], *FLOORS[name])


@pytest.mark.parametrize("name", TEST_FLOORS)
def test_no_version_that_cannot_run_the_tests_may_be_installed(name: str) -> None:
    _stands(_requirements(_setup()["options.extras_require"]["test"])[name], *TEST_FLOORS[name])


def _stands(requirement: Requirement, floor: str, faulty: str, reason: str) -> None:
    assert not requirement.specifier.contains(faulty), f"{requirement} allows {faulty}: {reason}"
    assert requirement.specifier.contains(floor), f"{requirement} refuses {floor}, which has what is needed"


def test_every_requirement_has_a_floor() -> None:
    without = [str(it) for it in _installed().values() if not any(part.operator == ">=" for part in it.specifier)]
    assert without == []


def test_the_lock_keeps_to_what_setup_asks_for() -> None:
    """Where this is red, `.ci/lock` makes it anew."""
    pins = _pins()
    adrift = [
        f"{requirement}: locked at {pins.get(name)}"
        for name, requirement in _installed().items()
        if name not in pins or not requirement.specifier.contains(pins[name])
    ]
    lost = [
        f"{requirement}: {extra} brings {EXTRAS[name, extra]}"
        for name, requirement in _installed().items()
        for extra in requirement.extras
        if EXTRAS[name, extra] not in pins
    ]
    assert adrift + lost == []


def test_the_lock_keeps_the_marker_of_a_requirement() -> None:
    """Where uvloop cannot be built, a deploy must not try."""
    marked = {name: str(it.marker) for name, it in _installed().items() if it.marker is not None}
    locked = dict(re.findall(r"^(\S+?)==\S+ ; (.+?) \\$", LOCK, re.MULTILINE))
    assert {name: locked.get(name) for name in marked} == marked


def test_the_lock_serves_the_first_python_of_3_11_too() -> None:
    """Debian 12 has 3.11.2. Resolved by a later one, what only the first needs is easily left out."""
    first = {**default_environment(), "python_full_version": "3.11.0", "extra": ""}
    installed = _pins().keys() & {canonicalize_name(it.metadata["Name"]) for it in distributions()}
    needed = {
        canonicalize_name(requirement.name)
        for name in installed
        for requirement in map(Requirement, requires(name) or ())
        if requirement.marker is None or requirement.marker.evaluate(first)
    }
    assert "redis" in installed
    assert needed - _pins().keys() == set()


def test_everything_locked_is_one_version_with_hashes() -> None:
    entries = re.split(r"^(?=\S)", re.sub(r"^ *#.*\n", "", LOCK, flags=re.MULTILINE).lstrip(), flags=re.MULTILINE)[1:]
    loose = [
        entry.split("\n")[0]
        for entry in entries
        if not re.match(r"\S+==\S+ (; .+ )?\\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+\Z", entry)
    ]
    assert loose == []
    assert len(entries) == len(_pins()) >= len(_installed())


def test_the_lock_names_no_index_and_no_machine() -> None:
    named = [line for line in LOCK.split("\n") if re.search(r"://|^-|file:|index|/(?!requirements\.lock)\w+/", line)]
    assert named == []


PINS = sorted(_pins().items())
CLEAR = [{"name": name, "version": version, "vulns": []} for name, version in PINS]
SKIPPED = [{"name": name, "skip_reason": f"Dependency not found: {name}"} for name, _ in PINS]
FAULT = {"id": "PYSEC-2026-1", "fix_versions": ["9.9"], "aliases": ["CVE-2026-1"], "description": "It falls over."}
NOTHING_KNOWN = "No known vulnerabilities found"


def audit(tmp_path: Path, report: str, exit_code: int = 0) -> tuple[int, list[str]]:
    """`.ci/audit` with a pip-audit that answers as told: the exit code, and the lines of its verdict."""
    program = tmp_path / "pip-audit"
    (tmp_path / "report").write_text(report)
    program.write_text(f'#!/bin/sh\ncat "{tmp_path}/report"\necho "{NOTHING_KNOWN}" >&2\nexit {exit_code}\n')
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def said(entries: list[dict[str, Any]]) -> str:
    return json.dumps({"dependencies": entries, "fixes": []})


def test_a_lock_that_was_looked_up_whole_is_cleared(tmp_path: Path) -> None:
    assert audit(tmp_path, said(CLEAR)) == (0, [f"All {len(PINS)} packages audited, no known vulnerabilities"])


def test_nothing_looked_up_is_no_clean_bill(tmp_path: Path) -> None:
    """What pip-audit does where its database cannot be reached: it skips everything, and exits with 0."""
    of = len(PINS)
    verdict = f"COULD NOT AUDIT {of} of {of} packages (Dependency not found: {PINS[0][0]})"
    assert audit(tmp_path, said(SKIPPED)) == (1, [verdict])


def test_one_package_that_was_skipped_fails_the_audit(tmp_path: Path) -> None:
    name, version = PINS[0]
    assert audit(tmp_path, said(SKIPPED[:1] + CLEAR[1:])) == (
        1,
        [f"{name} {version}: not audited", f"COULD NOT AUDIT 1 of {len(PINS)} packages (Dependency not found: {name})"],
    )


def test_one_package_that_is_not_in_the_report_fails_the_audit(tmp_path: Path) -> None:
    (name, version), of = PINS[-1], len(PINS)
    expected = [f"{name} {version}: not audited", f"COULD NOT AUDIT 1 of {of} packages"]
    assert audit(tmp_path, said(CLEAR[:-1])) == (1, expected)


def test_another_version_than_the_locked_one_is_not_the_locked_one(tmp_path: Path) -> None:
    (name, version), of = PINS[0], len(PINS)
    assert audit(tmp_path, said([{**CLEAR[0], "version": "0.0.1"}, *CLEAR[1:]])) == (
        1,
        [f"{name} {version}: not audited", f"COULD NOT AUDIT 1 of {of} packages"],
    )


def test_a_known_vulnerability_is_told_with_what_mends_it(tmp_path: Path) -> None:
    name, version = PINS[0]
    faulty = [{**CLEAR[0], "vulns": [FAULT, {**FAULT, "id": "PYSEC-2026-2", "fix_versions": []}]}, *CLEAR[1:]]
    assert audit(tmp_path, said(faulty), 1) == (
        1,
        [
            f"{name} {version}: PYSEC-2026-1, CVE-2026-1 (mended in 9.9)",
            f"{name} {version}: PYSEC-2026-2, CVE-2026-1 (not mended yet)",
            f"VULNERABILITIES FOUND: 2 in 1 of {len(PINS)} packages",
        ],
    )


def test_a_vulnerability_is_told_also_where_others_were_skipped(tmp_path: Path) -> None:
    name, version = PINS[0]
    code, lines = audit(tmp_path, said([{**CLEAR[0], "vulns": [FAULT]}, *SKIPPED[1:]]), 1)
    assert (code, lines[0]) == (1, f"{name} {version}: PYSEC-2026-1, CVE-2026-1 (mended in 9.9)")
    assert lines[-1].endswith("; vulnerabilities found: 1")


@pytest.mark.parametrize("report", ["", "Traceback", "{}", "[]", '{"dependencies": [{}]}', '{"dependencies": null}'])
def test_no_report_is_no_clean_bill(tmp_path: Path, report: str) -> None:
    assert audit(tmp_path, report, 2) == (1, ["COULD NOT AUDIT: pip-audit gave no report, and exited with 2"])


def test_a_failure_of_the_auditor_is_no_clean_bill(tmp_path: Path) -> None:
    verdict = "COULD NOT AUDIT: pip-audit exited with 3, though its report names nothing"
    assert audit(tmp_path, said(CLEAR), 3) == (1, [verdict])
