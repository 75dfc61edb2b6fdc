"""What README.md shows works as it stands there."""

import asyncio
import os
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from messenger.chat_service import ChatService, PlatformClient
from messenger.config import Config
from tests.support import protocol_page
from tests.support.database import Database
from tests.support.importing import moving
from tests.support.node import Cluster
from tests.support.people import A_TIME, Client, token
from tests.support.reachable import SECRET
from tests.support.sessions import open_session

DEMO = Path(__file__).parents[2] / "demo"
API_TOKEN = "the-host-applications-own-key"
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    """The one code block of a language in which a text stands."""
    (found,) = [code for code in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if containing in code]
    return str(found)


async def run_node(code: str, *, ending: str, beginning: str = "", package: str = "") -> str:
    """What a snippet prints in Node between some lines more, with a package of npm's where one is named; skipped where Node or
    that is not there, a failure where it is required."""
    missing = "Node" if shutil.which("node") is None else package
    if missing and not (missing == package and (DEMO / "node_modules" / package).exists()):
        if os.environ.get("MESSENGER_TEST_REQUIRE_BROWSER"):
            pytest.fail(f"{missing} is not installed, and the front-end's tests are required")
        pytest.skip(f"{missing} is not installed")
    running = await asyncio.create_subprocess_exec(
        "node", "--input-type=module", "-e", beginning + code + ending, stdout=-1, stderr=-1, cwd=DEMO
    )
    told, trouble = await running.communicate()
    assert running.returncode == 0, trouble.decode()
    return told.decode().strip()


async def test_a_token_signed_as_shown_in_python_lets_its_user_in(cluster: Cluster) -> None:
    made: dict[str, Any] = {}
    exec(block("python", "def token("), made)
    await is_let_in(cluster, made["token"](7, "Ann", SECRET))


async def test_a_token_signed_as_shown_in_node_lets_its_user_in(cluster: Cluster) -> None:
    ending = f"\nconsole.log(token(7, 'Ann', {SECRET!r}));"
    await is_let_in(cluster, await run_node(block("js", "export function token("), ending=ending))


async def test_a_live_session_as_shown_is_opened_and_joined(cluster: Cluster) -> None:
    node = await cluster.node()
    # What every browser has, and Node only from 22 on.
    beginning = f"""
        import WebSocket from "ws";
        globalThis.WebSocket = WebSocket;
        const url = {node.origin!r}, hostToken = {token(7, SECRET, name="Ann")!r};
    """
    ending = "\nsocket.addEventListener('message', () => socket.close());"
    told = await run_node(block("js", "/api/v1/join/"), beginning=beginning, ending=ending, package="ws")
    assert "type: 'question'" in told
    assert "content: 'Do bees sleep?'" in told
    assert "participant_nickname: 'Zoë'" in told


async def test_the_stock_client_speaks_as_shown(cluster: Cluster) -> None:
    node = await cluster.node()
    bees = await open_session(node, 7)
    seat = await bees.join(node, "Zoë")
    beginning = f"""
        const url = {node.origin!r}, token = {seat.token!r}, session_code = {bees.code!r};
        const participant = {{ id: {seat.id!r} }};
    """
    ending = "\nsocket.on('new_message', () => socket.close());"
    code = block("js", 'from "socket.io-client"')
    assert await run_node(code, beginning=beginning, ending=ending, package="socket.io-client") == "Zoë: Hello"


async def test_an_open_room_answers_as_shown(cluster: Cluster) -> None:
    node = await cluster.node(open_rooms=True)
    made: dict[str, Any] = {}
    exec(block("python", "async def say("), made)
    told = await made["say"](node.origin, "lobby", "Zoë", "Hello")
    assert told == [{"username": "Zoë", "content": "Hello", "room_id": "lobby", "timestamp": A_TIME}]


async def test_the_way_off_the_vendor_leads_where_it_says(cluster: Cluster, database: Database, tmp_path: Path) -> None:
    node = await cluster.node(api_token=API_TOKEN)
    made: dict[str, Any] = {}
    exec(block("python", "async def plan_a_hike("), made)
    async with moving(database, tmp_path) as move:
        (tmp_path / "chat.yaml").write_text(block("yaml", "use_websocket"))
        for name in ("ann", "ben"):
            move.vendor.add_user(name, name.title())
        environ = {
            "SENDBIRD_APP_ID": "unused",
            "SENDBIRD_API_TOKEN": move.vendor.api_token,
            "CHAT_URL": node.origin,
            "MESSENGER_API_TOKEN": API_TOKEN,
        }

        async def talk(channel_url: str, **flag: str) -> list[str]:
            """The example as it stands, in the host application's environment; only the vendor is somewhere else."""

            class Elsewhere(ChatService):
                @classmethod
                def from_config(cls, path: Any = None, environ: Any = environ | flag) -> ChatService:
                    text = (tmp_path / str(path)).read_text()
                    there = tmp_path / "there.yaml"
                    there.write_text(text.replace("  websocket:\n", f"    base_url: {move.vendor.url}\n  websocket:\n"))
                    return super().from_config(there, environ)

            made["ChatService"] = Elsewhere
            told: list[str] = await made["plan_a_hike"](channel_url)
            return told

        assert await talk("hike") == ["ann: Bring the map"]
        assert list(move.vendor.channels) == ["hike"]
        told = await move.run()
        assert (told.code, told.out.splitlines()[-1]) == (0, "Nothing was left behind.")
        assert await talk("walk", USE_WEBSOCKET_CHAT="on") == ["ann: Bring the map"]
        assert list(move.vendor.channels) == ["hike"]
        async with PlatformClient(node.origin, API_TOKEN) as here:
            assert {channel["channel_url"] async for channel in here.channels()} == {"hike", "walk"}


async def test_a_channel_is_heard_as_shown(cluster: Cluster) -> None:
    node = await cluster.node(api_token=API_TOKEN)
    async with PlatformClient(node.origin, API_TOKEN) as here:
        await here.post("/group_channels", {"channel_url": "hike", "user_ids": ["7"]})
    beginning = f"""
        import WebSocket from "ws";
        globalThis.WebSocket = WebSocket;
        const url = {node.origin!r}, channelUrl = "hike", token = {token(7, SECRET)!r};
    """
    ending = "\nchannel.addEventListener('message', ({ data }) => data.includes('MESG') && channel.close());"
    told = await run_node(block("js", "/api/v1/chat/ws/"), beginning=beginning, ending=ending, package="ws")
    assert "type: 'USER_JOINED'" in told
    assert "message: 'Bring the map'" in told


async def is_let_in(cluster: Cluster, made: str) -> None:
    node = await cluster.node()
    status, told = await Client(node.session, node.origin, made).get("/users/me")
    assert (status, told["id"], told["name"]) == (200, 7, "Ann")
    hello = await node.knock("/ws/7", bearer=made)
    assert isinstance(hello, dict), hello
    assert hello["event"] == "connected"


def test_every_setting_stands_in_the_table() -> None:
    table = README.partition("## Settings")[2].partition("\n## ")[0]
    # A row leaves out what its first name begins with: `MESSENGER_JWT_SECRET` / `_JWT_JWKS_URL`, `_AUDIENCE`.
    told = set(re.findall(r"`(?:MESSENGER)?(_\w+)`", table))
    missing = [
        item.metadata["name"]
        for item in fields(Config)
        if not any(item.metadata["name"].removeprefix("MESSENGER").endswith(name) for name in told)
    ]
    assert missing == []


def test_every_frame_stands_there_as_the_daemon_describes_it() -> None:
    assert protocol_page.told(README) == README


def test_every_test_that_is_named_exists() -> None:
    root = Path(__file__).parents[2]
    for path in re.findall(r"`(tests/[\w/.]+)`", README):
        assert (root / path).exists(), path
    for path, name in re.findall(r"`(?:tests/)?([\w/]+\.py)::(\w+)`", README):
        assert f"def {name}(" in (root / "tests" / path).read_text(encoding="utf-8"), name
