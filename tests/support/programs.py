"""Programs of the system, such as nginx. A test without the one it needs is skipped, or fails where it has to run."""

import os
import shutil
from typing import NoReturn

import pytest


def needed(program: str, *, package: str) -> str:
    """Path of `program`. Without it the test is skipped, or fails where `MESSENGER_TEST_REQUIRE_DEPLOY` is set, as in CI."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        lacking(f"there is no {program} on the PATH (Debian has it in {package})")
    return path


def lacking(what: str) -> NoReturn:
    """Skip the test for want of that, or fail it where `MESSENGER_TEST_REQUIRE_DEPLOY` is set."""
    if os.environ.get("MESSENGER_TEST_REQUIRE_DEPLOY"):
        pytest.fail(what)
    pytest.skip(what)
