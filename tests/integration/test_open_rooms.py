"""Open rooms (dialect D): a name and what one says, and everybody is told the last 50."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
import pytest

from messenger.config import Rate
from messenger.dialects.open_room import OpenRoom
from messenger.dialects.places import HALL
from messenger.service import open_rooms
from messenger.store.sessions import OpenRoomStore
from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME
from tests.support.reachable import Reachable
from tests.support.sessions import Frame

PATIENCE_S = 10
OPEN: dict[str, Any] = {**FREE, "open_rooms": True, "max_connections_per_address": 100}
NEVER = Rate(1, 3600, 3)

stage = stage_with(**OPEN, allowed_origins=("https://app.example",))
node = node_of_stage()


class Caller:
    """Somebody in an open room. Every frame that he hears is the next one."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, content: Any, username: Any = "Ann", **more: Any) -> None:
        await self.socket.send_str(json.dumps({"username": username, "content": content, **more}))

    async def next(self) -> Frame:
        async with asyncio.timeout(PATIENCE_S):
            message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        frame: Frame = json.loads(message.data)
        return frame

    async def hear(self) -> list[Frame]:
        """What the next frame tells, which tells messages."""
        frame = await self.next()
        assert frame == {"type": "messages", "messages": frame["messages"]}
        return list(frame["messages"])

    async def contents(self) -> list[str]:
        return [message["content"] for message in await self.hear()]

    async def hear_until(self, last: str) -> list[str]:
        """The contents of the first frame that ends with this."""
        while True:
            contents = await self.contents()
            if contents and contents[-1] == last:
                return contents

    async def refused(self) -> str:
        frame = await self.next()
        assert frame == {"type": "error", "message": frame["message"]}
        return str(frame["message"])

    async def closed(self) -> tuple[int, str]:
        async with asyncio.timeout(PATIENCE_S):
            while (message := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        return message.data, message.extra or ""


@asynccontextmanager
async def entered(node: Reachable, room_id: str, **headers: str) -> AsyncIterator[Caller]:
    async with node.session.ws_connect(f"{node.origin}/ws/chat/{room_id}", headers=headers) as socket:
        yield Caller(socket)


def told(room_id: str, username: str, content: str, **more: Any) -> Frame:
    return {**more, "username": username, "content": content, "room_id": room_id, "timestamp": A_TIME}


@pytest.fixture
async def room_id(stage: Stage) -> str:
    return f"room-{stage.people(1)[0]}"


@pytest.fixture
async def ann(node: Node, room_id: str) -> AsyncIterator[Caller]:
    """Alone in the room, and greeted."""
    async with entered(node, room_id) as ann:
        assert await ann.hear() == []
        yield ann


@pytest.mark.parametrize("room_id", ["a", "Z", "0", "_-", "A" * 64])
async def test_whoever_enters_is_greeted_with_what_was_said(node: Node, room_id: str) -> None:
    async with entered(node, room_id) as ann:
        assert await ann.next() == {"type": "messages", "messages": []}
        await ann.say("Hello")
        assert await ann.next() == {"type": "messages", "messages": [told(room_id, "Ann", "Hello")]}
    async with entered(node, room_id) as ben:
        assert await ben.next() == {"type": "messages", "messages": [told(room_id, "Ann", "Hello")]}


@pytest.mark.parametrize("room_id", ["a" * 65, "a.b", "a%20b", "%C3%A9", "a%2Fb", "a@b", "a%0A", "%00", ""])
async def test_what_is_no_name_of_a_room_is_not_there(node: Node, room_id: str) -> None:
    assert await node.knock(f"/ws/chat/{room_id}") == 404


async def test_where_they_are_off_there_are_none(cluster: Cluster) -> None:
    node = await cluster.node(**FREE)
    for room_id in ("lobby", "tea-room", "ABCDEFGH", "me"):
        assert await node.knock(f"/ws/chat/{room_id}") == 404


async def test_without_an_upgrade_it_is_refused(node: Node) -> None:
    async with node.session.get(f"{node.origin}/ws/chat/lobby") as response:
        assert response.status == 426
        assert response.headers["Upgrade"] == "websocket"


async def test_pages_of_foreign_origins_are_refused(node: Node, room_id: str) -> None:
    for origin in ("https://evil.example", "null"):
        assert await node.knock(f"/ws/chat/{room_id}", Origin=origin) == 403
    for origin in ("https://app.example", node.origin):
        async with entered(node, room_id, Origin=origin) as ann:
            assert await ann.hear() == []


async def test_each_message_is_one_frame_to_everybody_and_the_sender(node: Node, ann: Caller, room_id: str) -> None:
    async with entered(node, room_id) as ben, entered(node, room_id) as cyd:
        for caller in (ben, cyd):
            assert await caller.hear() == []
        so_far: list[Frame] = []
        for number in range(5):
            await (ann, ben, cyd)[number % 3].say(f"{number}", "Somebody")
            so_far.append(told(room_id, "Somebody", f"{number}"))
            for caller in (ann, ben, cyd):
                assert await caller.hear() == so_far


async def test_messages_in_a_row_are_as_many_frames_in_order(node: Node, ann: Caller, room_id: str) -> None:
    async with entered(node, room_id) as ben:
        await ben.hear()
        for number in range(100):
            await ann.say(f"{number}")
        for caller in (ann, ben):
            for number in range(100):
                assert await caller.contents() == [f"{said}" for said in range(max(0, number - 49), number + 1)]


async def test_the_last_50_are_told_and_whoever_enters_hears_just_what_the_others_heard(
    node: Node, stage: Stage, ann: Caller, room_id: str
) -> None:
    for number in range(60):
        await ann.say(f"{number}", mood={"is": ["good", number]})
    for _ in range(60):
        last = await ann.next()
    assert [message["content"] for message in last["messages"]] == [f"{number}" for number in range(10, 60)]
    async with entered(node, room_id) as ben:
        assert await ben.next() == last
    rows = await stage.oracle.fetch(
        "select count(*) from messenger.messages m join messenger.conversations c on c.id = m.conversation_id"
        " where c.open_room = $1 and m.message_type <> 'system'",
        room_id,
    )
    assert rows[0][0] == 60


MORE: Frame = {
    "colour": "#fff",
    "mood": {"is": [1, 2.5, None, True, {"deep": "🐝"}]},
    "type": "mine",
    "id": 7,
    "seq": "x",
    "sender_id": 1,
    "metadata": {"username": "Eve"},
    "messages": [],
    "ref": "r1",
    "client_id": 5,
    "": "no name",
    "é": 1,
}


async def test_more_fields_are_kept(node: Node, ann: Caller, room_id: str) -> None:
    await ann.say("Hello", **MORE)
    assert await ann.hear() == [told(room_id, "Ann", "Hello", **MORE)]
    async with entered(node, room_id) as ben:
        assert await ben.hear() == [told(room_id, "Ann", "Hello", **MORE)]


async def test_the_servers_room_and_time_win(node: Node, ann: Caller, room_id: str) -> None:
    await ann.say("Hello", room_id="another", timestamp="yesterday")
    heard = await ann.hear()
    assert heard == [told(room_id, "Ann", "Hello")]
    async with entered(node, room_id) as ben:
        assert await ben.hear() == heard


@pytest.mark.parametrize("username", ["A", "a" * 40, "🐝" * 40, " Ann ", "Ann\nBen"])
async def test_names_of_1_to_40_characters_are_kept_as_they_stand(
    node: Node, ann: Caller, room_id: str, username: str
) -> None:
    await ann.say("Hello", username)
    assert await ann.hear() == [told(room_id, username, "Hello")]


@pytest.mark.parametrize("content", [" a ", "\n.", "x" * 3900, "🐝" * 300])
async def test_what_is_said_is_kept_as_it_stands(node: Node, ann: Caller, room_id: str, content: str) -> None:
    await ann.say(content)
    assert await ann.hear() == [told(room_id, "Ann", content)]


EMPTY = "Message content cannot be empty"
UNSTORABLE = "must not contain U+0000 or lone surrogates"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"content":"a"}', "username is required"),
        ('{"username":"","content":"a"}', "username must not be empty"),
        ('{"username":" \\n","content":"a"}', "username must not be empty"),
        ('{"username":null,"content":"a"}', "username must not be null"),
        ('{"username":5,"content":"a"}', "username must be a string"),
        ('{"username":["Ann"],"content":"a"}', "username must be a string"),
        (json.dumps({"username": "a" * 41, "content": "a"}), "username must have at most 40 characters"),
        ('{"username":"a\\u0000","content":"a"}', f"username {UNSTORABLE}"),
        ('{"username":"Ann"}', EMPTY),
        ('{"username":"Ann","content":""}', EMPTY),
        ('{"username":"Ann","content":" \\t\\n"}', EMPTY),
        ('{"username":"Ann","content":null}', "content must not be null"),
        ('{"username":"Ann","content":5}', "content must be a string"),
        ('{"username":"Ann","content":{"a":1}}', "content must be a string"),
        ('{"username":"Ann","content":"a\\u0000b"}', f"content {UNSTORABLE}"),
        ('{"username":"Ann","content":"a\\ud800b"}', f"content {UNSTORABLE}"),
        ('{"username":"Ann","content":"a","more":"\\u0000"}', f"frame {UNSTORABLE}"),
        ('{"username":"Ann","content":"a","more":{"\\ud800":1}}', f"frame {UNSTORABLE}"),
        (
            '{"username":"Ann","content":"a","more":' + "[" * 20 + "]" * 20 + "}",
            "frame must not be nested deeper than 16",
        ),
        ('{"username":"Ann","content":"a","more":NaN}', "Invalid JSON format"),
        ("{", "Invalid JSON format"),
        ("", "Invalid JSON format"),
        ("hello", "Invalid JSON format"),
        ("[" * 2000, "Invalid JSON format"),
        ("[]", "A frame must be a JSON object"),
        ('"hello"', "A frame must be a JSON object"),
        ("5", "A frame must be a JSON object"),
        ("null", "A frame must be a JSON object"),
    ],
)
async def test_bad_input_is_answered_and_the_socket_stays_open(
    node: Node, ann: Caller, room_id: str, text: str, why: str
) -> None:
    async with entered(node, room_id) as ben:
        await ben.hear()
        await ann.socket.send_str(text)
        assert await ann.refused() == why
        await ann.say("Still here")
        for caller in (ann, ben):
            assert await caller.contents() == ["Still here"]


async def test_a_binary_frame_is_answered_and_the_socket_stays_open(node: Node, ann: Caller) -> None:
    await ann.socket.send_bytes(b'{"username":"Ann","content":"a"}')
    assert await ann.refused() == "Frames must be text"
    await ann.say("Still here")
    assert await ann.contents() == ["Still here"]


async def test_content_that_is_too_long_is_answered_as_natively(cluster: Cluster) -> None:
    node = await cluster.node(**OPEN, max_content_chars=10)
    async with entered(node, "lobby") as ann:
        await ann.hear()
        await ann.say("x" * 11)
        assert await ann.refused() == "Message content exceeds 10 characters"
        await ann.say("x" * 10)
        assert await ann.contents() == ["x" * 10]


async def test_a_frame_of_up_to_4_kib_is_taken_and_no_longer_one(node: Node, ann: Caller, room_id: str) -> None:
    def frame(size: int) -> str:
        text = json.dumps({"username": "Ann", "content": "a", "more": ""})
        return json.dumps({"username": "Ann", "content": "a", "more": "x" * (size - len(text))})

    async with entered(node, room_id) as ben:
        await ben.hear()
        await ann.socket.send_str(frame(4096))
        assert await ben.contents() == ["a"]
        await ann.socket.send_str(frame(4097))
        assert await ann.closed() == (1009, "frame_too_large")
        await ben.say("He is gone")
        assert await ben.contents() == ["a", "He is gone"]


async def test_rooms_are_told_apart(node: Node, ann: Caller, room_id: str) -> None:
    for other_id in (room_id.upper(), f"{room_id}-", f"{room_id}_"):
        async with entered(node, other_id) as eve:
            assert await eve.hear() == []
            await ann.say("Not for Eve")
            await ann.hear()
            await eve.say("For nobody")
            assert await eve.hear() == [told(other_id, "Ann", "For nobody")]
        async with entered(node, room_id) as ben:
            assert {message["content"] for message in await ben.hear()} == {"Not for Eve"}


async def test_users_see_nothing_of_open_rooms(stage: Stage, node: Node, ann: Caller, room_id: str) -> None:
    (eve,) = stage.people(1)
    phone, client = await node.phone(eve), node.client(eve)
    await ann.say("Not for Eve")
    await ann.hear()
    conversation_id = str(
        await stage.oracle.fetchval("select id from messenger.conversations where open_room = $1", room_id)
    )
    assert (await client.get("/conversations"))[1]["conversations"] == []
    assert (await phone.ask("sync", cursors={}))["conversations"] == []
    for path in ("", "/messages", "/participants"):
        status, _ = await client.get(f"/conversations/{conversation_id}{path}")
        assert status in (403, 404), path
    told = await phone.ask("subscribe", conversation_id=conversation_id)
    assert told["type"] == "error"
    assert await phone.unheard("message.new") == []
    # Nor does it have a code, by which one could join.
    async with node.session.post(f"{node.origin}/api/v1/join/{room_id}", json={"nickname": "Eve"}) as response:
        assert response.status in (404, 422)


async def test_a_room_is_one_on_all_nodes_and_outlives_them(cluster: Cluster) -> None:
    async with (
        cluster.node_for_a_while(**OPEN) as one,
        cluster.node_for_a_while(**OPEN) as two,
        entered(one, "lobby") as ann,
        entered(two, "lobby") as ben,
    ):
        for caller in (ann, ben):
            assert await caller.hear() == []
        so_far = []
        for number in range(10):
            await (ann, ben)[number % 2].say(f"{number}", colour=number)
            so_far.append(told("lobby", "Ann", f"{number}", colour=number))
            heard = [await caller.hear() for caller in (ann, ben)]
            assert heard == [so_far, so_far]
    three = await cluster.node(**OPEN)
    async with entered(three, "lobby") as cyd:
        assert await cyd.hear() == heard[0]
        await cyd.say("Good morning")
        assert await cyd.hear() == [*heard[0], told("lobby", "Ann", "Good morning")]


async def test_many_enter_a_new_room_at_once_and_it_is_one(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    nodes = await cluster.node(**OPEN), await cluster.node(**OPEN)
    async with AsyncExitStack() as stack:
        callers = await asyncio.gather(
            *(stack.enter_async_context(entered(nodes[number % 2], "lobby")) for number in range(20))
        )
        await callers[0].say("Hello")
        for caller in callers:
            assert (await caller.hear_until("Hello")) == ["Hello"]
    assert await oracle.fetchval("select count(*) from messenger.conversations where open_room = 'lobby'") == 1
    for node in nodes:
        await node.emptied()
        assert not node.server.app[HALL].callers


async def test_who_enters_while_others_talk_misses_nothing(node: Node, ann: Caller, room_id: str) -> None:
    async def talk() -> None:
        for number in range(200):
            await ann.say(f"{number}")
            await ann.hear()

    async def look_in() -> None:
        while not talking.done():
            async with entered(node, room_id) as caller:
                first = await caller.contents()
                seen = int(first[-1]) if first else -1
                for number in range(seen + 1, min(seen + 4, 200)):
                    assert (await caller.contents())[-1] == f"{number}"

    talking = asyncio.create_task(talk())
    await asyncio.gather(talking, *(look_in() for _ in range(3)))


@pytest.mark.parametrize("is_read", [False, True], ids=["before it is read", "behind what was read"])
async def test_what_is_said_while_a_room_is_read_is_told_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, is_read: bool
) -> None:
    one, two = await cluster.node(**OPEN), await cluster.node(**OPEN)
    begun, may, window = asyncio.Event(), asyncio.Event(), OpenRoomStore.window

    async def late(*args: Any) -> Any:
        found = await window(*args) if is_read else None
        begun.set()
        await may.wait()
        return await window(*args) if found is None else found

    async with entered(one, "lobby") as ann:
        await ann.hear()
        monkeypatch.setattr(OpenRoomStore, "window", late)
        entering = asyncio.create_task(two.session.ws_connect(f"{two.origin}/ws/chat/lobby"))
        rooms = two.server.app[HALL].rooms._rooms
        async with asyncio.timeout(PATIENCE_S):
            await begun.wait()
            await ann.say("Hello")
            while not any(room._kept for room in rooms.values()):
                await asyncio.sleep(0.01)
        may.set()
        async with await entering as socket:
            ben = Caller(socket)
            assert await ben.contents() == ["Hello"]
            await ann.say("Ben!")
            assert await ben.contents() == ["Hello", "Ben!"]


async def test_a_crowd_is_told_by_one_serialisation(node: Node, room_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    frame = OpenRoom.frame

    def counting(room: OpenRoom) -> bytes:
        made.append(room)
        return frame(room)

    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(entered(node, room_id)) for _ in range(20)]
        for caller in callers:
            assert await caller.hear() == []
        monkeypatch.setattr(OpenRoom, "frame", counting)
        for number in range(1, 11):
            await callers[0].say(f"{number}")
            for caller in callers:
                assert (await caller.contents())[-1] == f"{number}"
            assert len(made) == number


async def test_the_last_50_are_read_once_by_whoever_enters_first(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node(**OPEN)
    read = []
    window = OpenRoomStore.window

    async def counting(*args: Any) -> Any:
        read.append(args)
        return await window(*args)

    monkeypatch.setattr(OpenRoomStore, "window", counting)
    for times in (1, 2):
        async with entered(node, "lobby") as ann:
            await ann.hear()
            assert len(read) == times
            await ann.say("Hello")
            await ann.hear()
            for _ in range(5):
                async with entered(node, "lobby") as ben:
                    assert await ben.contents() == ["Hello"] * times
            assert len(read) == times
        await node.emptied()
        assert len(node.server.app[HALL].rooms) == 0


async def test_who_says_too_much_too_fast_is_told_so(cluster: Cluster) -> None:
    node = await cluster.node(**{**OPEN, "rate_frames": NEVER})
    async with entered(node, "lobby") as ann, entered(node, "lobby") as ben:
        for caller in (ann, ben):
            await caller.hear()
        for _ in range(3):
            await ann.say("a")
        await ann.hear_until("a")
        await ann.hear()
        assert len(await ann.hear()) == 3
        await ann.say("b")
        assert (await ann.refused()).startswith("Too many requests")
        # A connection of his own: it counts by connection.
        await ben.say("b")
        assert (await ben.hear_until("b"))[-1] == "b"


async def test_what_an_address_says_counts_whatever_its_connections(cluster: Cluster) -> None:
    node = await cluster.node(**{**OPEN, "rate_messages": NEVER, "trusted_proxies": ("127.0.0.1",)})
    here, there = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    async with (
        entered(node, "lobby", **here) as ann,
        entered(node, "attic", **here) as ben,
        entered(node, "lobby", **there) as cyd,
    ):
        for caller in (ann, ben, cyd):
            await caller.hear()
        for _ in range(3):
            await ann.say("a")
        for number in range(3):
            assert len(await ann.hear()) == number + 1
        for caller in (ann, ben):
            await caller.say("b")
            assert (await caller.refused()).startswith("Too many requests")
        await cyd.say("b")
        assert (await cyd.hear_until("b"))[-1] == "b"


async def test_no_more_connections_of_one_address_than_are_allowed(cluster: Cluster) -> None:
    node = await cluster.node(**{**OPEN, "max_connections_per_address": 2, "trusted_proxies": ("127.0.0.1",)})
    here, there = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    async with entered(node, "lobby", **here) as ann, entered(node, "attic", **here) as ben:
        for caller in (ann, ben):
            assert await caller.hear() == []
        async with entered(node, "lobby", **here) as third:
            assert await third.closed() == (1013, "too_many_connections")
        async with entered(node, "lobby", **there) as cyd:
            assert await cyd.hear() == []
        # Whoever was refused was not counted, and whoever goes makes room.
        await ben.socket.close()
        async with asyncio.timeout(PATIENCE_S):
            while node.server.app[HALL].callers["192.0.2.1"] > 1:
                await asyncio.sleep(0.01)
        async with entered(node, "lobby", **here) as again:
            assert await again.hear() == []
    async with asyncio.timeout(PATIENCE_S):
        while node.server.app[HALL].callers:
            await asyncio.sleep(0.01)


async def test_no_more_enter_from_one_address_than_are_allowed(cluster: Cluster) -> None:
    node = await cluster.node(**{**OPEN, "rate_joins": NEVER, "trusted_proxies": ("127.0.0.1",)})
    here, there = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    for number in range(3):
        async with entered(node, f"room-{number}", **here) as ann:
            assert await ann.hear() == []
    async with entered(node, "lobby", **here) as fourth:
        assert (await fourth.closed())[0] == 1013
    async with entered(node, "lobby", **there) as ben:
        assert await ben.hear() == []


async def test_no_more_come_than_there_is_room_for(cluster: Cluster) -> None:
    node = await cluster.node(**OPEN, max_connections=1)
    async with entered(node, "lobby") as ann:
        await ann.hear()
        async with entered(node, "lobby") as ben:
            assert await ben.closed() == (1013, "overloaded")


async def test_where_authentication_is_off_rooms_are_open_too(cluster: Cluster) -> None:
    node = await cluster.node(**OPEN, auth="off")
    async with entered(node, "lobby") as ann:
        assert await ann.hear() == []


async def idle(oracle: asyncpg.Connection) -> int:
    return int(
        await oracle.fetchval(
            "select (select count(*) from messenger.conversations) + (select count(*) from messenger.messages)"
            " + (select count(*) from messenger.conversation_heads)"
        )
    )


async def test_a_room_without_traffic_is_cleared_away_with_all_that_was_said(
    cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    nodes = await cluster.node(**OPEN, open_room_ttl_s=1), await cluster.node(**OPEN, open_room_ttl_s=1)
    async with entered(nodes[0], "lobby") as ann:
        await ann.hear()
        await ann.say("Is anybody there?")
        await ann.hear()
    assert await idle(oracle)
    async with asyncio.timeout(20):
        while await idle(oracle):
            await asyncio.sleep(0.05)
    async with entered(nodes[1], "lobby") as ben:
        assert await ben.hear() == []
        await ben.say("Hello")
        assert await ben.contents() == ["Hello"]


async def test_a_room_with_somebody_inside_is_not_cleared_away(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    one, two = await cluster.node(**OPEN, open_room_ttl_s=1), await cluster.node(**OPEN, open_room_ttl_s=1)
    async with entered(one, "lobby") as ann:
        await ann.hear()
        await ann.say("Is anybody there?")
        await ann.hear()
        async with entered(two, "attic") as ben:
            await ben.hear()
        # The other room is gone, long after this one would have been.
        async with asyncio.timeout(20):
            while await oracle.fetchval("select count(*) from messenger.conversations where open_room = 'attic'"):
                await asyncio.sleep(0.05)
        for number in range(2):
            assert await oracle.execute(
                "update messenger.conversation_heads set active_at = active_at - interval '1 hour'"
            )
            async with entered(two, f"attic-{number}") as ben:
                await ben.hear()
            async with asyncio.timeout(20):
                while await oracle.fetchval(
                    "select count(*) from messenger.conversations where open_room = $1", f"attic-{number}"
                ):
                    await asyncio.sleep(0.05)
        await ann.say("I am")
        assert await ann.contents() == ["Is anybody there?", "I am"]


async def test_rooms_in_which_somebody_is_silent_do_not_keep_others_from_being_cleared_away(
    cluster: Cluster, oracle: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_rooms, "CLEARED_AT_ONCE", 2)
    node = await cluster.node(**OPEN, open_room_ttl_s=1)
    async with AsyncExitStack() as stack:
        for number in range(5):
            caller = await stack.enter_async_context(entered(node, f"room-{number}"))
            await caller.hear()
        await oracle.execute("update messenger.conversation_heads set active_at = active_at - interval '1 hour'")
        async with entered(node, "attic") as ann:
            await ann.hear()
        async with asyncio.timeout(20):
            while await oracle.fetchval("select count(*) from messenger.conversations") > 5:
                await asyncio.sleep(0.05)
    rooms = await oracle.fetch("select open_room from messenger.conversations where open_room = 'attic'")
    assert rooms == []
