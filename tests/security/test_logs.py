"""Secrets in every place where they do and do not belong, and a daemon that tells all it can: none of them is in what it said."""

import asyncio
import json
import re
import signal
import time
from urllib.parse import quote, urlsplit

import aiohttp

from tests.security.wire import UPGRADE, masked, wire_to
from tests.support.daemon import Daemon
from tests.support.database import PASSWORD, Servers
from tests.support.node import FREE, SECRET, Cluster
from tests.support.people import API, forged, token

ANN, BEN = 1, 2
API_TOKEN = "0f3b8d1c-the-hosts-own-key"
# What people say, and call things.
SAID = "swordfish"
# Exceptions of all kinds, with somebody's words in them.
FAILING = f"""
import messenger.service.messages as messages, messenger.service.users as users

async def fail(self, *args, **options):
    try:
        raise ValueError("{SAID}", args)
    except ValueError:
        raise RuntimeError("{SAID}", args, options)

messages.Messages.edit = fail
users.Users.visible = fail
"""


async def attack(daemon: Daemon, bearer: str) -> None:
    """One secret in every place of a request."""
    for line in (f"Authorization: Bearer {bearer}", f"Authorization: {bearer}", f"Sec-WebSocket-Protocol: {bearer}"):
        for path in ("/ws/1", f"{API}/ws/me", f"{API}/users/me", "/nowhere"):
            await say(daemon, f"GET {path} HTTP/1.1\r\nHost: chat\r\n{line}\r\n{UPGRADE}\r\n")
    for offered in (f"messenger.v1, bearer.{bearer}", f"bearer.{bearer}", f"{bearer}, messenger.v1"):
        await say(daemon, f"GET /ws/1 HTTP/1.1\r\nHost: chat\r\nSec-WebSocket-Protocol: {offered}\r\n{UPGRADE}\r\n")
    for path in (
        f"/ws/1?token={bearer}", f"{API}/users/me?token={bearer}", f"/?{bearer}", f"/ws/{bearer}", f"/{bearer}",
        f"{API}/conversations/{bearer}/messages", f"{API}/messages/{bearer}", f"{API}/users/{bearer}/revoke",
        f"/demo/{bearer}.js", f"/docs/{bearer}", f"//{bearer}//", f"/ws/{bearer}?token={bearer}", f"/ws/1;{bearer}",
        f"http://{bearer}/ws/1", f"http://user:{bearer}@chat/ws/1", f"/{quote(bearer, safe='')}%0a",
    ):  # fmt: skip
        for upgrade in ("", UPGRADE):
            await say(daemon, f"GET {path} HTTP/1.1\r\nHost: chat\r\n{upgrade}\r\n")
    for name in (
        "Cookie",
        "Referer",
        "User-Agent",
        "Origin",
        "X-User-Id",
        "X-Forwarded-For",
        "Idempotency-Key",
        "Host",
    ):
        host = "" if name == "Host" else "Host: chat\r\n"
        await say(daemon, f"POST {API}/conversations HTTP/1.1\r\n{host}{name}: {bearer}\r\n\r\n")
        await say(daemon, f"GET /ws/1 HTTP/1.1\r\n{host}{name}: {bearer}\r\n{UPGRADE}\r\n")
    for rubbish in (
        f"{bearer} / HTTP/1.1\r\n\r\n", f"GET {bearer} HTTP/1.1\r\n\r\n", f"GET / {bearer}\r\n\r\n", f"{bearer}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: chat\r\n{bearer}\r\n\r\n", f"GET / HTTP/1.1\r\nHost: chat\r\n{bearer}\x00: x\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {bearer}\x00\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {bearer * 100}\r\n\r\n",
        f"POST / HTTP/1.1\r\nHost: chat\r\nContent-Length: {bearer}\r\n\r\n",
        f"POST / HTTP/1.1\r\nHost: chat\r\nTransfer-Encoding: chunked\r\n\r\n{bearer}\r\n",
    ):  # fmt: skip
        await say(daemon, rubbish)


async def say(daemon: Daemon, text: str) -> None:
    async with wire_to(daemon) as wire:
        told = await wire.ask(text)
        if told.status == 101:
            await wire.frame()


async def chat(daemon: Daemon) -> None:
    """Everything in which people's words travel, right and wrong."""
    ann = daemon.client(ANN, name=f"Ann {SAID}", picture=f"https://example.org/{SAID}")
    more = {"title": f"The {SAID}", "metadata": {SAID: SAID}}
    tea = await ann.group(BEN, **more)
    hello = (await ann.send(tea, SAID, metadata={"x": SAID}, client_id=SAID))["id"]
    here = f"/conversations/{tea}/messages"
    json_ = {"Content-Type": "application/json"}
    for data in (f'{{"content": "{SAID}', f'["{SAID}"]', f'"{SAID}"', f'{{"content": ["{SAID}"]}}', f"\xff{SAID}"):
        await ann.ask("POST", here, data=data.encode("latin-1"), headers=json_)
    await ann.ask("POST", here, data=SAID.encode(), headers={**json_, "Content-Encoding": "gzip"})
    await ann.ask("POST", here, json={"content": SAID, "client_id": "x"}, headers={"Idempotency-Key": SAID})
    for method, path in (("PATCH", f"/messages/{hello}"), ("GET", "/users/me"), ("GET", f"{here}?before_seq={SAID}")):
        await ann.ask(method, path, json={"content": SAID})
    phone = await daemon.phone(ANN)
    await phone.ask("message.send", conversation_id=tea, content=SAID)
    for frame in (
        {"type": "message.edit", "message_id": hello, "content": SAID},
        {"type": "message.send", "conversation_id": tea, "content": [SAID]},
        {"type": "message.send", "conversation_id": SAID, "content": SAID},
        {"type": f"Did you see the {SAID}?"},
        {"type": f"{SAID.upper()}.{SAID}"},
        {"type": SAID},
        {"type": f"{SAID}_{'a' * 60_000}"},
        {"type": {SAID: SAID}},
        {"type": "auth.refresh", "token": token(ANN, SECRET)},
        {"type": "auth.refresh", "token": SAID},
        {"type": token(ANN, SECRET)},
        {"type": API_TOKEN},
    ):
        await phone.ask("ping")
        await phone.socket.send_json({**frame, "ref": SAID})
        await phone.hear(ref=SAID)
    await phone.socket.send_str(SAID)
    await phone.hear("error")
    await phone.socket.send_bytes(SAID.encode())
    await phone.hear("error")
    await phone.socket.close()
    async with wire_to(daemon) as wire:
        bearer = f"Authorization: Bearer {token(BEN, SECRET)}\r\n"
        await wire.ask(f"GET /ws/me HTTP/1.1\r\nHost: chat\r\n{bearer}{UPGRADE}\r\n")
        wire.say(masked(0xC1, SAID.encode()) + SAID.encode() * 100)
        await wire.rest()


async def test_a_daemon_that_tells_all_it_can_tells_no_secret(cluster: Cluster, servers: Servers) -> None:
    daemon = await cluster.daemon(
        **FREE, before=FAILING, log_level="DEBUG", log_format="json", api_token=API_TOKEN, demo=True,
        trusted_proxies=("127.0.0.1",),
    )  # fmt: skip
    now = int(time.time())
    tokens = {
        "good": token(ANN, SECRET, name="Ann"),
        "another's": token(BEN, SECRET),
        "expired": forged({"sub": "1", "iat": now - 999, "exp": now - 600}, SECRET.encode()),
        "forged": forged({"sub": "1", "exp": now + 600}, b"another-secret-of-at-least-thirty-two-bytes"),
        "the host's": API_TOKEN,
        "the key itself": SECRET,
    }
    for bearer in tokens.values():
        await attack(daemon, bearer)
    await chat(daemon)
    async with aiohttp.ClientSession() as session:
        for path in ("/stats", "/readyz"):
            await session.get(daemon.origin + path, headers={"Authorization": f"Bearer {API_TOKEN}"})
    daemon.send(signal.SIGTERM)
    assert await daemon.ended() == 0
    assert daemon.process.stdout
    said = daemon.log.read_text() + (await daemon.process.stdout.read()).decode()

    lines = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    events = {line["event"] for line in lines}
    assert {"request", "no request", "request failed", "frame failed", "unknown type", "draining"} <= events
    assert sum("exception" in line for line in lines) >= 2
    assert len(lines) > 300
    # A JWT's header says nothing; what it claims and its signature do.
    parts = [part for bearer in tokens.values() for part in bearer.split(".")[1:] or [bearer]]
    redis_password = urlsplit(servers.redis_url).password or PASSWORD
    for secret in (*parts, *tokens.values(), PASSWORD, redis_password, SAID, SAID.upper(), "token=", "bearer."):
        assert secret not in said, [line for line in said.splitlines() if secret in line][:3]
    assert not re.search(r"eyJ[\w-]{20}", said.replace(tokens["good"].split(".")[0], ""))


async def test_what_a_client_names_writes_no_line_of_its_own(cluster: Cluster) -> None:
    """Not even in the format for people, where a line is a line."""
    daemon = await cluster.daemon(log_level="DEBUG", log_format="console", trusted_proxies=("127.0.0.1",))
    for path in ("/a%0aforged%20line", "/a%0d%0aforged", "/%1b[2Jforged", "/a%e2%80%a8forged", "/%c2%85forged"):
        await say(daemon, f"GET {path} HTTP/1.1\r\nHost: chat\r\nX-Forwarded-For: 1.1.1.1%0aforged\r\n\r\n")
    phone = await daemon.phone(ANN)
    await phone.ask("a\nforged line")
    await phone.ask("a.\x1b[2J.forged")
    async with asyncio.timeout(10):
        while "unknown type" not in daemon.log.read_text():
            await asyncio.sleep(0.01)
    for line in re.split("[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", daemon.log.read_text()):
        assert not line or re.match(r"20\d\d-\d\d-\d\d", line), line
    assert "\x1b" not in daemon.log.read_text()
