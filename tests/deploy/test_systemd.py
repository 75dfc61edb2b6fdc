"""What the units promise. Whether systemd can read them, and how little they may do, `deploy/check` asks of systemd-analyze."""

import re
import subprocess
from pathlib import Path

from messenger.config import Config
from messenger.workers import PATIENCE_S
from tests.support.programs import needed

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
# What is not about confinement, which is the same for every unit.
OWN = {"Type", "Environment", "EnvironmentFile", "ExecStart", "ExecReload", "Restart", "RestartSec", "RemainAfterExit"}
OWN |= {
    "TimeoutStartSec",
    "TimeoutStopSec",
    "KillMode",
    "WatchdogSec",
    "LimitNOFILE",
    "StateDirectory",
    "StateDirectoryMode",
}


def lines_of(name: str) -> list[tuple[str, str]]:
    """Of the section [Service], in order."""
    section = (FOLDER / name).read_text().partition("[Service]\n")[2].partition("\n[")[0]
    pairs = (line.partition("=") for line in section.splitlines() if line and not line.startswith("#"))
    return [(key, value) for key, _, value in pairs]


def test_the_migration_is_confined_as_the_daemon_is() -> None:
    daemon, migration = (
        [pair for pair in lines_of(name) if pair[0] not in OWN]
        for name in ("messenger@.service", "messenger-migrate.service")
    )
    assert daemon == migration


def test_a_daemon_has_time_to_drain_and_comes_back() -> None:
    said = dict(lines_of("messenger@.service"))
    assert int(said["TimeoutStopSec"]) > Config().drain_s + PATIENCE_S
    assert (said["Type"], said["KillMode"], said["Restart"]) == ("notify", "mixed", "always")
    # On reload it is asked to end, and comes back by Restart=.
    assert said["ExecReload"] == "/bin/kill -TERM $MAINPID"


def test_a_migration_that_failed_is_tried_again_with_each_start_of_a_daemon() -> None:
    """Also by Restart=, which asks for what the unit wants: so a database that is late at boot costs nothing more."""
    unit = (FOLDER / "messenger@.service").read_text().partition("[Service]\n")[0]
    assert re.search(r"^Wants=.*\bmessenger-migrate\.service\b", unit, re.MULTILINE)
    assert re.search(r"^After=.*\bmessenger-migrate\.service\b", unit, re.MULTILINE)
    assert re.search(r"^StartLimitIntervalSec=0$", unit, re.MULTILINE)


def test_the_user_is_made_by_the_line_of_the_readme(tmp_path: Path) -> None:
    needed("systemd-sysusers", package="systemd")
    readme = (FOLDER.parent / "README.md").read_text()
    (line,) = (line for line in readme.splitlines() if "systemd-sysusers " in line)
    line = line.replace(" /etc/", f" {tmp_path}/etc/").replace(
        "systemd-sysusers ", f"systemd-sysusers --root={tmp_path} "
    )
    subprocess.run(["bash", "-euc", line], cwd=FOLDER.parents[1], check=True)
    assert re.search(r"^messenger:", (tmp_path / "etc/passwd").read_text(), re.MULTILINE)
