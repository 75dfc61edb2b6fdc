"""What is hidden and what is not there are told alike, to the byte, on every route and in every frame.

The tables are held against the routes and frames that there are: a new one without its lines here fails.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import aiohttp
import pytest

from messenger.domain.attachment import ATTACHMENTS
from messenger.transport.commands import COMMANDS
from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import API, Answer, Client, Frame, Phone

# A key as `messenger vapid` makes them, of this test's own: devices can be registered.
stage = stage_with(demo=True, vapid_private_key="q" * 42 + "g", vapid_subject="mailto:ann@example.org")
node = node_of_stage()

Kind: TypeAlias = Literal["conversation", "message", "user", "device", "attachment"]
ABSENT = "01890000-0000-7000-8000-000000000000"
TEA, HELLO, DEN = "TEA", "HELLO", "DEN"


@dataclass(frozen=True)
class Case:
    """What Eve asks: where ID stands she names something of Ann's, and then something that is not there.

    `then`: the status that she gets both times. Where she may not, Ann, who may, gets `ann`; None where nobody may.
    DEN is Eve's own conversation. `undone`: by a DELETE at the same place, before the next one is asked.
    """

    kind: Kind
    then: int
    ann: int | None = None
    body: Any = None
    query: str = ""
    path: Mapping[str, str] | None = None
    undone: bool = False


IN_TEA = {"conversation_id": "ID"}
SOMEBODY = {"conversation_id": "ID", "user_id": "ANN"}
MINE = {"conversation_id": DEN, "user_id": "ID"}
OF = {"message_id": "ID"}
X = {"content": "x"}
FILE = {"attachment_id": "ID"}
AN_UPLOAD = {"conversation_id": DEN, "content": "x", "attachments": [{"url": f"{ATTACHMENTS}/ID"}]}
# Nobody can tell whose address it is: it stands as it came.
LIKE_AN_UPLOAD = {
    "conversation_id": DEN,
    "content": "x",
    "attachments": [{"url": f"https://chat.example.org{ATTACHMENTS}/ID"}],
}

ROUTES: dict[str, list[Case]] = {
    "GET /conversations/{conversation_id}": [Case("conversation", 404, 200, path=IN_TEA)],
    "PATCH /conversations/{conversation_id}": [Case("conversation", 404, 200, {"title": "x"}, path=IN_TEA)],
    "DELETE /conversations/{conversation_id}": [Case("conversation", 404, 204, path=IN_TEA)],
    "GET /conversations/{conversation_id}/messages": [
        Case("conversation", 404, 200, path=IN_TEA),
        Case("conversation", 404, 200, path=IN_TEA, query="?before_seq=2&after_seq=0&limit=1"),
    ],
    "POST /conversations/{conversation_id}/messages": [
        Case("conversation", 404, 201, X, path=IN_TEA),
        Case("conversation", 404, 409, {"content": "x", "client_id": "hello"}, path=IN_TEA),
        Case("message", 404, None, {"content": "x", "reply_to": "ID"}, path={"conversation_id": DEN}),
        Case("user", 201, None, {"content": "x", "mentions": ["ID"]}, path={"conversation_id": DEN}),
        Case("attachment", 422, None, AN_UPLOAD, path={"conversation_id": DEN}),
        Case("attachment", 201, None, LIKE_AN_UPLOAD, path={"conversation_id": DEN}),
    ],
    "GET /conversations/{conversation_id}/participants": [Case("conversation", 404, 200, path=IN_TEA)],
    "GET /conversations/{conversation_id}/participants/former": [Case("conversation", 404, 200, path=IN_TEA)],
    "POST /conversations/{conversation_id}/participants": [
        Case("conversation", 404, 201, {"user_ids": ["EVE"]}, path=IN_TEA),
    ],
    "PATCH /conversations/{conversation_id}/participants/{user_id}": [
        Case("conversation", 404, 200, {"role": "admin"}, path=SOMEBODY),
        Case("user", 404, None, {"role": "admin"}, path=MINE),
    ],
    "DELETE /conversations/{conversation_id}/participants/{user_id}": [
        Case("conversation", 404, 204, path=SOMEBODY),
        Case("conversation", 404, 204, path={"conversation_id": "ID", "user_id": "me"}),
        Case("user", 404, None, path=MINE),
    ],
    "GET /conversations/{conversation_id}/notifications": [Case("conversation", 404, 200, path=IN_TEA)],
    "PUT /conversations/{conversation_id}/notifications": [Case("conversation", 404, 200, {}, path=IN_TEA)],
    "PATCH /messages/{message_id}": [Case("message", 404, 200, X, path=OF)],
    "DELETE /messages/{message_id}": [Case("message", 404, 204, path=OF)],
    "POST /messages/{message_id}/read": [Case("message", 404, 200, path=OF)],
    "GET /messages/{message_id}/receipts": [Case("message", 404, 200, path=OF)],
    "GET /messages/{message_id}/reactions": [Case("message", 404, 200, path=OF)],
    "POST /sync": [Case("conversation", 200, None, {"cursors": {"ID": 0}})],
    "GET /users": [Case("user", 200, None, query="?ids=ID")],
    "GET /presence": [Case("user", 200, None, query="?user_ids=ID")],
    "PUT /users/me/blocks/{user_id}": [Case("user", 200, None, path={"user_id": "ID"}, undone=True)],
    "DELETE /users/me/blocks/{user_id}": [Case("user", 204, None, path={"user_id": "ID"})],
    "DELETE /users/me/devices/{push_device_id}": [Case("device", 404, 204, path={"push_device_id": "ID"})],
    "GET /attachments/{attachment_id}": [
        Case("attachment", 404, 200, path=FILE),
        Case("attachment", 404, None, path=FILE, query="?thumbnail=1"),
    ],
    "GET /attachments/{attachment_id}/links": [Case("attachment", 404, 200, path=FILE)],
    "GET /attachments/{attachment_id}/content": [
        Case("attachment", 403, None, path=FILE),
        Case("attachment", 403, None, path=FILE, query="?expires=99999999999&signature=x"),
    ],
    "GET /attachments/{attachment_id}/thumbnail": [
        Case("attachment", 403, None, path=FILE),
        Case("attachment", 403, None, path=FILE, query="?expires=99999999999&signature=x"),
    ],
    # The host application's alone: a user is told that it is, and nothing else.
    "PUT /users/{user_id}": [Case("user", 403, None, {"name": "x"}, path={"user_id": "ID"})],
    "POST /users/{user_id}/revoke": [Case("user", 403, None, path={"user_id": "ID"})],
}
# Whoever makes a conversation names people of whom he may know nothing but the number; so does who adds them, who is in it.
NAMES_NOBODY = {
    "GET /conversations", "POST /conversations", "GET /users/me", "GET /users/me/blocks", "GET /users/me/devices",
    "POST /users/me/devices", "GET /push-key", "GET /ws/{user_id}", "GET //ws/{user_id}", "GET //stats", "GET //metrics",
    "GET //healthz", "GET //readyz", "GET //openapi.json", "GET //asyncapi.json", "GET //docs", "GET //docs/{file}",
    "GET //", "GET //demo/config.json", "GET //demo/{path}",
    "POST /attachments",
    # A live session is public to whoever has its code, and an open room to everybody.
    "POST //api/v1/sessions", "PATCH //api/v1/sessions/{session_code}", "GET //api/v1/sessions/{session_code}/status",
    "GET //api/v1/sessions/{session_code}/state", "PUT //api/v1/sessions/{session_code}/state",
    "POST //api/v1/join/{session_code}", "GET //ws/{session_code}/{participant_id}", "GET //ws/chat/{room_id}",
    "GET //socket.io/", "POST //socket.io/",
    # The host application's alone, which may know everything; without its key nothing is told (test_platform).
    "POST //v3/group_channels", "GET //v3/group_channels", "GET //v3/group_channels/{channel_url}",
    "PUT //v3/group_channels/{channel_url}", "DELETE //v3/group_channels/{channel_url}",
    "POST //v3/group_channels/{channel_url}/invite", "PUT //v3/group_channels/{channel_url}/leave",
    "GET //v3/group_channels/{channel_url}/members", "POST //v3/group_channels/{channel_url}/messages",
    "GET //v3/group_channels/{channel_url}/messages", "PUT //v3/group_channels/{channel_url}/messages/{message_number}",
    "DELETE //v3/group_channels/{channel_url}/messages/{message_number}", "POST //v3/users", "GET //v3/users",
    "GET //v3/users/{user_id}", "PUT //v3/users/{user_id}", "DELETE //v3/users/{user_id}",
    # Who is no member hears the same as where there is no channel: tests/integration/test_channels.py.
    "GET //api/v1/chat/ws/{channel_url}", "GET //api/v1/chat/ws/{channel_url}/test",
}  # fmt: skip

FRAMES: dict[str, list[tuple[Kind, Frame]]] = {
    "subscribe": [("conversation", {"conversation_id": "ID"})],
    "unsubscribe": [("conversation", {"conversation_id": "ID"})],
    "typing": [("conversation", {"conversation_id": "ID"})],
    "typing.start": [("conversation", {"conversation_id": "ID"})],
    "typing.stop": [("conversation", {"conversation_id": "ID"})],
    "message.send": [
        ("conversation", {"conversation_id": "ID", "content": "x"}),
        ("conversation", {"conversation_id": "ID", "content": "x", "client_id": "hello"}),
        ("conversation", {"conversation_id": "ID", "content": "x", "reply_to": HELLO}),
        ("message", {"conversation_id": DEN, "content": "x", "reply_to": "ID"}),
        ("user", {"conversation_id": DEN, "content": "x", "mentions": ["ID"]}),
        ("attachment", AN_UPLOAD),
        ("attachment", LIKE_AN_UPLOAD),
    ],
    "message.edit": [
        ("message", {"message_id": "ID", "content": "x"}),
        ("message", {"message_id": "ID", "content": ""}),
    ],
    "message.delete": [("message", {"message_id": "ID"})],
    "message.read": [("message", {"message_id": "ID"})],
    "reaction.add": [("message", {"message_id": "ID", "emoji": "👍"})],
    "reaction.remove": [("message", {"message_id": "ID", "emoji": "👍"})],
    "history": [
        ("conversation", {"conversation_id": "ID"}),
        ("conversation", {"conversation_id": "ID", "before_seq": 2, "after_seq": 0}),
    ],
    "sync": [("conversation", {"cursors": {"ID": 0}}), ("conversation", {"cursors": {"ID": 2**53 - 1, DEN: 0}})],
    "presence": [("user", {"user_ids": ["ID"]})],
    "auth.refresh": [],
    "ping": [],
}
# Neither of these says whether there is something: who is in nothing leaves nothing, and misses nothing.
NO_ERROR = {"unsubscribe": "unsubscribed", "sync": "sync", "presence": "presence"}


class World:
    """Ann's conversation with what is in it, and Eve, who shares nothing with her."""

    def __init__(self, stage: Stage, node: Node) -> None:
        self.ann, self.eve, self.absent = stage.people(3)
        # Ids of as many digits each: answers about them are as long.
        while len(str(self.ann)) < len(str(self.absent)):
            self.ann, self.eve, self.absent = stage.people(3)
        self.stage = stage
        self.node = node
        self.anns: Client = node.client(self.ann)
        self.eves: Client = node.client(self.eve)
        self.names: dict[str, str] = {}
        self.hidden: dict[Kind, str] = {}

    async def set_up(self, *, with_device: bool = False) -> "World":
        tea, den = await self.anns.group(), await self.eves.group()
        file = aiohttp.FormData({"file": io.BytesIO(b"Only for tea")})
        uploaded = (await self.anns.ask("POST", "/attachments", data=file)).body
        carried = [{"url": uploaded["url"]}]
        hello = (await self.anns.send(tea, "hello", client_id="hello", attachments=carried))["id"]
        self.names = {TEA: tea, HELLO: hello, DEN: den, "ANN": str(self.ann), "EVE": str(self.eve)}
        self.hidden = {"conversation": tea, "message": hello, "user": str(self.ann), "attachment": uploaded["id"]}
        if with_device:
            browser = {"endpoint": f"https://push.example.org/{self.ann}", "keys": {"p256dh": P256DH, "auth": AUTH}}
            status, told = await self.anns.post("/users/me/devices", browser)
            assert status == 201, told
            self.hidden["device"] = told["id"]
        return self

    def absent_of(self, kind: Kind) -> str:
        return str(self.absent) if kind == "user" else ABSENT

    def filled(self, value: Any, id_: str) -> Any:
        """With every name in it replaced; user ids become numbers in JSON."""
        text = json.dumps(value)
        for name, real in {**self.names, "ID": id_}.items():
            text = text.replace(f'["{name}"]', f"[{real}]") if real.isdigit() else text
            text = text.replace(f'"{name}"', f'"{real}"').replace(f'/{name}"', f'/{real}"')
        return json.loads(text)

    async def ask(self, client: Client, route: str, case: Case, id_: str) -> Answer:
        method, _, path = route.partition(" ")
        for name, value in (case.path or {}).items():
            path = path.replace(f"{{{name}}}", {**self.names, "ID": id_}.get(value, value))
        body = None if case.body is None else self.filled(case.body, id_)
        return await client.ask(method, path + case.query.replace("ID", id_), json=body)

    async def stands(self) -> Any:
        """Everything of Ann's that Eve might have touched."""
        return await self.stage.oracle.fetch(
            """select m.id, m.seq, m.change, m.content, h.last_change,
                (select count(*) from messenger.conversation_participants p where p.conversation_id = m.conversation_id),
                (select count(*) from messenger.read_receipts r where r.conversation_id = m.conversation_id)
            from messenger.messages m join messenger.conversation_heads h using (conversation_id)
            where m.conversation_id = $1 order by m.seq""",
            self.names[TEA],
        )


# Of RFC 8291, appendix A.
P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"


async def test_every_route_is_in_the_table(node: Node) -> None:
    routes = set()
    for route in node.server.app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        if route.method != "HEAD":
            routes.add(f"{route.method} {path.removeprefix(API) if path.startswith(API) else '/' + path}")
    assert routes == ROUTES.keys() | NAMES_NOBODY
    assert {path for path in NAMES_NOBODY if "{" in path and "_id" in path and "/v3/" not in path} == {
        "GET /ws/{user_id}",
        "GET //ws/{user_id}",
        "GET //ws/{session_code}/{participant_id}",
        "GET //ws/chat/{room_id}",
    }


def test_every_frame_is_in_the_table() -> None:
    assert FRAMES.keys() == COMMANDS.keys()
    naming = {
        type_
        for type_, entry in COMMANDS.items()
        if entry.schema.fields.keys() & {"conversation_id", "message_id", "user_ids", "cursors", "reply_to"}
    }
    assert naming == {type_ for type_, frames in FRAMES.items() if frames}


@pytest.mark.parametrize("route", list(ROUTES))
async def test_a_route_tells_a_stranger_nothing(stage: Stage, node: Node, route: str) -> None:
    for case in ROUTES[route]:
        world = await World(stage, node).set_up(with_device=case.kind == "device")
        before = await world.stands()

        hidden, absent = world.hidden[case.kind], world.absent_of(case.kind)
        told = []
        for id_ in (hidden, absent):
            answer = await world.ask(world.eves, route, case, id_)
            assert answer.status == case.then, (route, case, answer)
            headers = {name: value for name, value in answer.headers.items() if name != "Date"}
            told.append((headers, _without_what_is_new(answer.body, id_)))
            if case.undone:
                await world.ask(world.eves, route.replace("PUT", "DELETE"), case, id_)
        assert told[0] == told[1], (route, case)
        assert await world.stands() == before
        if case.ann is not None:
            answer = await world.ask(world.anns, route, case, hidden)
            assert answer.status == case.ann, (route, case, answer)


@pytest.mark.parametrize("type_", [type_ for type_, frames in FRAMES.items() if frames])
async def test_a_frame_tells_a_stranger_nothing(stage: Stage, node: Node, type_: str) -> None:
    for kind, frame in FRAMES[type_]:
        world = await World(stage, node).set_up()
        before, phone = await world.stands(), await node.phone(world.eve)
        told = []
        for id_ in (world.hidden[kind], world.absent_of(kind)):
            answer = await _said(phone, {"type": type_, **world.filled(frame, id_)})
            told.append(_without_what_is_new(answer, id_))
            if kind != "user" and frame is not LIKE_AN_UPLOAD:
                assert answer["type"] == NO_ERROR.get(type_, "error"), (frame, answer)
        assert told[0] == told[1], frame
        assert await world.stands() == before


async def _said(phone: Phone, frame: Frame) -> Frame:
    await phone.socket.send_json({**frame, "ref": "r"})
    return await phone.hear(ref="r")


# What differs in any two answers that say the same: what was made by each.
NEW = ("id", "message_id", "seq", "change", "created_at", "last_change", "last_seq", "activity_at")


def _without_what_is_new(told: Any, id_: str) -> Any:
    def cleaned(value: Any) -> Any:
        match value:
            case dict():
                return {("ID" if key == id_ else key): cleaned(item) for key, item in value.items() if key not in NEW}
            case list():
                return [cleaned(item) for item in value]
            case str():
                value = value.replace(f"/{id_}", "/ID")
        return "ID" if str(value) == id_ else value

    return cleaned(told)
