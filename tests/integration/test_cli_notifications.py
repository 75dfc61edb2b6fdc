"""Telling people who are away, as whoever runs the daemon meets it: keys are made, and what cannot work is told before it fails."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.support.browser import from_base64url
from tests.support.command import in_one_line, messenger, serving, settings_of
from tests.support.database import Database

SECRET = "what-the-host-and-we-know-of-each-other"
KEY = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
ALLOW = "private addresses and http:// need MESSENGER_PRIVATE_TARGETS"
HOOK = {"webhook_url": "https://app.example.org/hook", "webhook_secret": SECRET}


@pytest.fixture
def settings(database: Database) -> dict[str, str]:
    return settings_of(database)


async def test_vapid_makes_a_key_pair_that_serve_takes(settings: dict[str, str], tmp_path: Path) -> None:
    told = await messenger("vapid")
    assert (told.code, told.err) == (0, "")
    found = re.search(r"^# .*: ([\w-]{87})\nMESSENGER_VAPID_PRIVATE_KEY=([\w-]{43})\n", told.out, re.MULTILINE)
    assert found
    assert (len(from_base64url(found[1])), len(from_base64url(found[2]))) == (65, 32)
    assert told.out.splitlines()[-1] == "MESSENGER_VAPID_SUBJECT=mailto:you@example.org"
    assert (await messenger("vapid")).out != told.out
    # As it was printed, into a file.
    file = tmp_path / "env"
    file.write_text(told.out)
    async with serving("--env-file", str(file), **settings) as daemon:
        stopped = await daemon.stop()
    assert (stopped.code, found[2] in stopped.out + stopped.err) == (0, False)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            {"webhook_url": "https://app.example.org/hook"},
            "MESSENGER_WEBHOOK_URL needs MESSENGER_WEBHOOK_SECRET, which its requests are signed with",
        ),
        (
            {**HOOK, "webhook_url": "https://127.0.0.1:9000/hook"},
            f"MESSENGER_WEBHOOK_URL is refused (a private address): {ALLOW}",
        ),
        (
            {**HOOK, "webhook_url": "http://app.example.org/hook"},
            f"MESSENGER_WEBHOOK_URL is refused (not encrypted): {ALLOW}",
        ),
        (
            {**HOOK, "webhook_url": "http://10.1.2.3/hook", "private_targets": "192.168.0.0/16"},
            f"MESSENGER_WEBHOOK_URL is refused (a private address): {ALLOW}",
        ),
        (
            {**HOOK, "webhook_url": f"https://messenger:{SECRET}@app.example.org/hook"},
            f"MESSENGER_WEBHOOK_URL is refused (a name and password in it): {ALLOW}",
        ),
        (
            {"vapid_private_key": KEY},
            "MESSENGER_VAPID_PRIVATE_KEY needs MESSENGER_VAPID_SUBJECT: mailto: or https: of whoever runs this",
        ),
        (
            # Above the order of the curve.
            {"vapid_private_key": "_" * 43, "vapid_subject": "mailto:ann@example.org"},
            "MESSENGER_VAPID_PRIVATE_KEY with MESSENGER_VAPID_SUBJECT: no private key of P-256",
        ),
        (
            {"vapid_private_key": "A" * 43, "vapid_subject": "mailto:ann@example.org"},
            "MESSENGER_VAPID_PRIVATE_KEY with MESSENGER_VAPID_SUBJECT: no private key of P-256",
        ),
    ],
)
async def test_what_can_never_work_is_told_in_one_line(
    settings: dict[str, str], more: dict[str, str], told: str
) -> None:
    serve, doctor = await asyncio.gather(
        messenger("serve", **(settings | more)), messenger("doctor", **(settings | more))
    )
    assert in_one_line(serve) == f"messenger: {told}"
    assert doctor.code == 1
    assert f"WRONG settings: {told}" in doctor.out.splitlines()
    for secret in (SECRET, KEY):
        assert secret not in serve.err + doctor.out


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"webhook_url": "https://1.1.1.1/hook"}, "ok    webhook: may be reached"),
        (
            {"webhook_url": "http://localhost:1/hook", "private_targets": "127.0.0.1,::1"},
            "ok    webhook: may be reached",
        ),
        ({"webhook_url": "https://localhost/hook?key=hidden"}, "WRONG webhook: refused: a private address"),
        ({"webhook_url": "https://nowhere.invalid/hook?key=hidden"}, "WRONG webhook: the host is not found (gaierror)"),
    ],
)
async def test_doctor_looks_where_the_webhook_leads(settings: dict[str, str], more: dict[str, str], line: str) -> None:
    """It resolves the name, and sends nothing there."""
    told = await messenger("doctor", **(settings | {"webhook_secret": SECRET} | more))
    assert line in told.out.splitlines()
    assert "hidden" not in told.out + told.err


async def test_a_webhook_beside_the_daemon_is_served_where_it_is_allowed(settings: dict[str, str]) -> None:
    beside = {"webhook_url": "http://127.0.0.1:9/hook", "webhook_secret": SECRET, "private_targets": "127.0.0.1/32"}
    async with serving(**settings, **beside) as daemon:
        assert (await daemon.stop()).code == 0
