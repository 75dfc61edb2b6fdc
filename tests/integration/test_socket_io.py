"""Live sessions over Socket.IO (dialect B), with the stock client: who joins, what is said, what is refused."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from messenger.dialects import socket_library
from messenger.errors import Unavailable
from messenger.fanout.reception import Reception
from messenger.service.sessions import Sessions
from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, A_UUID7
from tests.support.sessions import LiveSession, Seat, ask, ben_of_session, open_session, session_of_stage
from tests.support.socket_io import (
    EITHER,
    POLLING,
    WEBSOCKET,
    Client,
    Clients,
    clients_of_test,
    driver_of_module,
)

stage = stage_with()
node = node_of_stage()
driver = driver_of_module()
clients = clients_of_test()
bees, ben = session_of_stage(), ben_of_session()


def said(nickname: str, message: str, message_type: str = "text") -> dict[str, Any]:
    return {
        "id": A_UUID7,
        "participant_nickname": nickname,
        "message": message,
        "message_type": message_type,
        "created_at": A_TIME,
    }


async def user_id_of(stage: Stage, seat: Seat) -> int:
    return int(await stage.oracle.fetchval("select id from messenger.users where public_id = $1", seat.id))


@EITHER
async def test_a_guest_joins_by_id_and_by_code(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, transports: list[str] | None
) -> None:
    client = await clients.connected(node, ben.token, transports=transports)
    if transports is None:
        assert await client.hear("upgrade") == "websocket"
    else:
        assert await client.hear("connect") == transports[0]
    for named in (bees.id, bees.code, bees.code.lower()):
        assert await client.join(named, ben) == 1
    assert await client.hear("participant_count_update") == {"count": 1}
    # Nothing else, and `connected` once.
    assert {name for name, _ in client.events} <= {
        "connect",
        "upgrade",
        "connected",
        "joined_session",
        "participant_count_update",
    }
    assert [name for name, _ in client.events].count("connected") == 1


async def test_whoever_comes_and_goes_is_told_to_the_whole_room(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    cyd = await bees.join(node, "Cyd")
    bens = await clients.joined(node, bees, ben)
    cyds = await clients.connected(node, cyd.token, transports=POLLING)
    assert await cyds.join(bees.id, cyd) == 2
    for client in (bens, cyds):
        assert await client.hear("participant_count_update", {"count": 2}) == {"count": 2}
    await bens.heard("participant_count_update")
    cyds.close()
    # He was there a moment ago, and counts.
    assert await bens.hear("participant_count_update") == {"count": 2}


async def test_two_clients_of_one_guest_count_once(node: Node, bees: LiveSession, ben: Seat, clients: Clients) -> None:
    first, second = await clients.joined(node, bees, ben), await clients.joined(node, bees, ben)
    assert await first.join(bees.code, ben) == await second.join(bees.code, ben) == 1
    assert {told["count"] for name, told in first.events if name == "participant_count_update"} == {1}


@EITHER
async def test_what_is_said_reaches_everybody_and_the_sender_in_order(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, transports: list[str] | None
) -> None:
    cyd = await bees.join(node, "Cyd")
    host = await clients.joined(node, bees, bees.seat)
    bens = await clients.joined(node, bees, ben, transports=transports)
    cyds = await clients.joined(node, bees, cyd, transports=POLLING)
    for number in range(40):
        bens.emit("send_message", {"message": f"{number}", "message_type": "text"})
    for client in (host, bens, cyds):
        heard = [await client.hear("new_message") for _ in range(40)]
        assert heard == [said("Ben", f"{number}") for number in range(40)]
    host.emit("send_message", {"message": "Order!"})
    for client in (host, bens, cyds):
        assert await client.hear("new_message") == said("Ann", "Order!")


@pytest.mark.parametrize("message_type", ["text", "question", "poll", "x" * 64])
async def test_a_message_has_the_type_that_its_sender_says(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, message_type: str
) -> None:
    client = await clients.joined(node, bees, ben)
    client.emit("send_message", {"message": "Do they sleep?", "message_type": message_type, "more": {"is": "ignored"}})
    assert await client.hear("new_message") == said("Ben", "Do they sleep?", message_type)


@pytest.mark.parametrize("text", ["x" * 500, "🐝" * 500, " a\nb\t"])
async def test_up_to_500_characters_are_said_as_they_stand(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, text: str
) -> None:
    client = await clients.joined(node, bees, ben)
    client.emit("send_message", {"message": text})
    assert await client.hear("new_message") == said("Ben", text)


async def test_a_system_entry_is_not_said_by_a_guest(
    stage: Stage, node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    client = await clients.joined(node, bees, ben)
    await client.refused("send_message", {"message": "Ann closed the session", "message_type": "system"})
    assert await client.heard("new_message") == []
    rows = await stage.oracle.fetch(
        "select content from messenger.messages where conversation_id = $1 and content like '%closed%'", bees.id
    )
    assert rows == []


EMPTY = "Message content cannot be empty"
NO_OBJECT = "data must be an object"


@pytest.mark.parametrize(
    ("event", "args", "why"),
    [
        ("send_message", [{"message": "x" * 501}], "Message content exceeds 500 characters"),
        ("send_message", [{"message": ""}], EMPTY),
        ("send_message", [{"message": " \n\t"}], EMPTY),
        ("send_message", [{"message": None}], EMPTY),
        ("send_message", [{}], EMPTY),
        ("send_message", [], EMPTY),
        ("send_message", [{"message": 5}], "message must be a string"),
        ("send_message", [{"message": {"text": "a"}}], "message must be a string"),
        ("send_message", [{"message": "a\x00"}], "message must not contain U+0000 or lone surrogates"),
        ("send_message", [{"message": "a\ud800"}], "message must not contain U+0000 or lone surrogates"),
        ("send_message", [{"message": "a", "message_type": 5}], "message_type must be a string"),
        ("send_message", [{"message": "a", "message_type": ""}], "message_type must not be empty"),
        ("send_message", [{"message": "a", "message_type": "x" * 65}], "message_type must have at most 64 characters"),
        ("send_message", ["a"], NO_OBJECT),
        ("send_message", [["a"]], NO_OBJECT),
        ("send_message", [None], NO_OBJECT),
        ("get_chat_history", [5], NO_OBJECT),
        ("join_session", [True], NO_OBJECT),
        ("leave_session", [{}], "Unknown event: leave_session"),
        ("x" * 100, [{}], f"Unknown event: {'x' * 64}"),
    ],
)
async def test_bad_input_is_answered_with_an_error_and_the_connection_lives(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, event: str, args: list[Any], why: str
) -> None:
    client = await clients.joined(node, bees, ben)
    assert await client.refused(event, *args) == why
    client.emit("send_message", {"message": "still here"})
    assert await client.hear("new_message") == said("Ben", "still here")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"session_id": None}, "session_id must not be null"),
        ({"session_id": ...}, "session_id is required"),
        ({"session_id": 5}, "session_id must be a string"),
        ({"session_id": ""}, "session_id must not be empty"),
        ({"session_id": "x" * 65}, "session_id must have at most 64 characters"),
        ({"session_id": "NOSUCH22"}, "Session not found"),
        ({"session_id": str(uuid4())}, "Session not found"),
        ({"session_id": "a\x00"}, "session_id must not contain U+0000 or lone surrogates"),
        ({"participant_id": ...}, "participant_id is required"),
        ({"participant_id": 7}, "participant_id must be a string"),
        ({"participant_id": "7"}, "Invalid participant ID"),
        ({"participant_id": str(uuid4())}, "Participant not found"),
        ({"nickname": "Ann"}, "nickname is not the token's"),
        ({"nickname": ""}, "nickname is not the token's"),
        ({"nickname": 5}, "nickname must be a string"),
        ({"role": "presenter"}, "Only the host can present"),
        ({"role": "king"}, "role must be participant or presenter"),
        ({"role": None}, "role must not be null"),
    ],
)
async def test_who_says_it_wrong_does_not_join(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, fields: dict[str, Any], why: str
) -> None:
    client = await clients.connected(node, ben.token)
    data = {"session_id": bees.code, "participant_id": ben.id, "nickname": "Ben", "role": "participant", **fields}
    data = {name: value for name, value in data.items() if value is not ...}
    assert await client.refused("join_session", data) == why
    assert await client.refused("send_message", {"message": "Am I in?"}) == "Join a session first"
    # And then right.
    assert await client.join(bees.code, ben, role="participant") == 1


async def test_nickname_and_role_may_be_left_out(node: Node, bees: LiveSession, ben: Seat, clients: Clients) -> None:
    client = await clients.connected(node, ben.token)
    client.emit("join_session", {"session_id": bees.code, "participant_id": ben.id})
    assert await client.hear("joined_session") == {"session_id": bees.code, "participant_count": 1}


async def test_before_joining_nothing_is_said_and_nothing_read(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    client = await clients.connected(node, ben.token)
    for event, data in (("send_message", {"message": "Hello"}), ("get_chat_history", {})):
        assert await client.refused(event, data) == "Join a session first"


async def test_nobody_joins_as_another(
    stage: Stage, node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    cyd = await bees.join(node, "Cyd")
    client = await clients.connected(node, ben.token)
    wanted = {"session_id": bees.code, "nickname": "Cyd"}
    assert await client.refused("join_session", {**wanted, "participant_id": cyd.id}) == "user_mismatch"
    assert await client.refused("join_session", {**wanted, "participant_id": bees.seat.id}) == "user_mismatch"
    # Nor with the token of a user who is none of it, nor into another session.
    (eve,) = stage.people(1)
    eves = await open_session(node, eve, title="Eve's")
    for other in (await clients.connected(node, eves.seat.token), await clients.connected(node, ben.token)):
        assert await other.refused("join_session", {**wanted, "participant_id": cyd.id}) == "user_mismatch"
    data = {"session_id": eves.code, "participant_id": ben.id, "nickname": "Ben"}
    assert await client.refused("join_session", data) == "Participant not found"


async def test_the_host_presents(node: Node, bees: LiveSession, clients: Clients) -> None:
    client = await clients.connected(node, bees.seat.token)
    assert await client.join(bees.code, bees.seat, role="presenter") == 1


async def test_joining_once_more_is_answered_and_another_session_is_not(
    stage: Stage, node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    client = await clients.joined(node, bees, ben)
    for named in (bees.code, bees.id):
        assert await client.join(named, ben) == 1
    (eve,) = stage.people(1)
    eves = await open_session(node, eve)
    data = {"session_id": eves.code, "participant_id": ben.id, "nickname": "Ben"}
    assert await client.refused("join_session", data) == "Already in another session"
    # Each is told once all the same.
    client.emit("send_message", {"message": "once"})
    assert await client.hear("new_message") == said("Ben", "once")
    assert await client.heard("new_message") == []


async def test_two_joins_in_one_breath_are_one(node: Node, bees: LiveSession, ben: Seat, clients: Clients) -> None:
    client = await clients.connected(node, ben.token)
    data = {"session_id": bees.code, "participant_id": ben.id, "nickname": "Ben"}
    client.emit("join_session", data)
    client.emit("join_session", data)
    client.emit("send_message", {"message": "once"})
    for _ in range(2):
        assert await client.hear("joined_session") == {"session_id": bees.code, "participant_count": 1}
    assert await client.hear("new_message") == said("Ben", "once")
    assert await client.heard("new_message", "error") == []
    assert len(node.context.node.hub.devices_of(next(iter(node.context.node.hub.people)))) == 1


@pytest.mark.parametrize("where", ["admit", "people"])
async def test_who_could_not_be_let_in_just_now_may_try_again(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    async def unavailable(*_: Any) -> None:
        raise Unavailable

    client = await clients.connected(node, ben.token)
    data = {"session_id": bees.code, "participant_id": ben.id, "nickname": "Ben"}
    with monkeypatch.context() as patch:
        patch.setattr(Reception if where == "admit" else Sessions, where, unavailable)
        client.emit("join_session", data)
        await client.hear("error")
    if where == "people":  # he was in, and has to come anew
        await client.hear("disconnect")
        client.connect()
        await client.hear("connected")
    assert await client.join(bees.code, ben) == 1
    client.emit("send_message", {"message": "Here I am"})
    assert await client.hear("new_message") == said("Ben", "Here I am")


async def history_of(client: Client) -> Any:
    client.emit("get_chat_history", {})
    return await client.hear("chat_history")


async def test_history_of_a_fresh_session_is_empty(node: Node, bees: LiveSession, ben: Seat, clients: Clients) -> None:
    client = await clients.joined(node, bees, ben)
    assert await history_of(client) == {"messages": [], "total_count": 0}
    client.emit("get_chat_history")
    assert await client.hear("chat_history") == {"messages": [], "total_count": 0}


async def test_history_is_the_last_50_oldest_first_and_counts_all_that_people_said(
    stage: Stage, node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    client = await clients.joined(node, bees, ben)
    for number in range(60):
        client.emit("send_message", {"message": f"{number}", "message_type": "question" if number % 2 else "text"})
    told = [await client.hear("new_message") for _ in range(60)]
    history = await history_of(client)
    # To the letter what was told live.
    assert history == {"messages": told[-50:], "total_count": 60}
    host = node.client(bees.host)
    assert (await host.delete(f"/messages/{told[59]['id']}"))[0] == 204
    assert await history_of(client) == {"messages": told[9:59], "total_count": 59}


class Reading:
    """A history being read, which waits before and after it asks the database."""

    def __init__(self) -> None:
        self.asked, self.may_read, self.has_read, self.may_answer = (asyncio.Event() for _ in range(4))


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    reading, read = Reading(), Sessions.history

    async def slowly(*args: Any) -> Any:
        reading.asked.set()
        await reading.may_read.wait()
        found = await read(*args)
        reading.has_read.set()
        await reading.may_answer.wait()
        return found

    monkeypatch.setattr(Sessions, "history", slowly)
    return reading


async def test_what_is_said_while_the_history_is_read_comes_before_it_or_behind_it_as_it_is_in_it_or_not(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, reading: Reading
) -> None:
    bens, cyds = [await clients.joined(node, bees, seat) for seat in (ben, await bees.join(node, "Cyd"))]
    bens.emit("get_chat_history", {})
    for begun, go_on, content in (
        (reading.asked, reading.may_read, "In it"),
        (reading.has_read, reading.may_answer, "Not in it"),
    ):
        await begun.wait()
        cyds.emit("send_message", {"message": content})
        assert await cyds.hear("new_message") == said("Cyd", content)
        await cyds.heard()
        go_on.set()
    await bens.hear("new_message", said("Cyd", "Not in it"))
    assert [(name, told) for name, told in bens.events if name in ("new_message", "chat_history")] == [
        ("new_message", said("Cyd", "In it")),
        ("chat_history", {"messages": [said("Cyd", "In it")], "total_count": 1}),
        ("new_message", said("Cyd", "Not in it")),
    ]


async def test_last_words_are_heard_although_the_history_was_being_read(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, reading: Reading
) -> None:
    bens, cyds = [await clients.joined(node, bees, seat) for seat in (ben, await bees.join(node, "Cyd"))]
    bens.emit("get_chat_history", {})
    await reading.asked.wait()
    cyds.emit("send_message", {"message": "Last words"})
    await cyds.hear("new_message", said("Cyd", "Last words"))
    status, _ = await ask(node, "PATCH", f"/sessions/{bees.code}", bees.seat.token, {"status": "closed"})
    assert status == 200
    await bens.hear("disconnect")
    reading.may_read.set()
    reading.may_answer.set()
    assert [(name, told) for name, told in bens.events if name in ("new_message", "error", "chat_history")] == [
        ("new_message", said("Cyd", "Last words")),
        ("error", {"message": "session closed"}),
    ]


async def test_history_names_guests_who_have_gone(
    stage: Stage, node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    client = await clients.joined(node, bees, ben)
    client.emit("send_message", {"message": "Bye"})
    await client.hear("new_message")
    path = f"/conversations/{bees.id}/participants/{await user_id_of(stage, ben)}"
    assert (await node.client(bees.host).delete(path))[0] == 204
    cyd = await bees.join(node, "Cyd")
    cyds = await clients.joined(node, bees, cyd)
    assert await history_of(cyds) == {"messages": [said("Ben", "Bye")], "total_count": 1}


async def test_a_removed_guest_is_told_and_sent_away_for_good_and_the_others_count_again(
    stage: Stage, node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    cyd = await bees.join(node, "Cyd")
    cyds = await clients.joined(node, bees, cyd)
    bens = await clients.joined(node, bees, ben)
    await cyds.hear("participant_count_update", {"count": 2})
    path = f"/conversations/{bees.id}/participants/{await user_id_of(stage, ben)}"
    assert (await node.client(bees.host).delete(path))[0] == 204
    assert await bens.hear("error") == {"message": "Participant not found"}
    assert await bens.hear("disconnect") == "io server disconnect"
    assert await cyds.hear("participant_count_update", {"count": 1}) == {"count": 1}
    cyds.emit("send_message", {"message": "He is gone"})
    assert await cyds.hear("new_message") == said("Cyd", "He is gone")
    # Nor does he come back.
    again = await clients.connected(node, ben.token)
    data = {"session_id": bees.code, "participant_id": ben.id, "nickname": "Ben"}
    assert await again.refused("join_session", data) == "Participant not found"


@EITHER
async def test_closing_a_session_ends_its_connections_for_good(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, transports: list[str] | None
) -> None:
    host = await clients.joined(node, bees, bees.seat)
    bens = await clients.joined(node, bees, ben, transports=transports, reconnection=True, reconnectionDelay=10)
    status, _ = await ask(node, "PATCH", f"/sessions/{bees.code}", bees.seat.token, {"status": "closed"})
    assert status == 200
    for client in (host, bens):
        assert await client.hear("error") == {"message": "session closed"}
        # The one reason for which the client does not connect again by itself.
        assert await client.hear("disconnect") == "io server disconnect"
    again = await clients.connected(node, ben.token)
    data = {"session_id": bees.code, "participant_id": ben.id, "nickname": "Ben"}
    assert await again.refused("join_session", data) == "Session not found"
    status, _ = await ask(node, "PATCH", f"/sessions/{bees.code}", bees.seat.token, {"status": "active"})
    assert status == 200
    assert await again.join(bees.code, ben) >= 1
    assert [name for name, _ in bens.events].count("connect") == 1


async def test_deleting_a_session_ends_its_connections(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    client = await clients.joined(node, bees, ben)
    assert (await node.client(bees.host).delete(f"/conversations/{bees.id}"))[0] == 204
    assert await client.hear("error") == {"message": "session closed"}
    assert await client.hear("disconnect") == "io server disconnect"


async def test_what_is_said_here_is_seen_in_dialect_a_and_natively_and_the_other_way_round(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    cyd = await bees.join(node, "Cyd")
    phone = await node.phone(bees.host)
    bens = await clients.joined(node, bees, ben)
    async with bees.ear(node, cyd) as ear:
        bens.emit("send_message", {"message": "Do they sleep?", "message_type": "question"})
        mine = await bens.hear("new_message")
        heard = await ear.hear("question")
        native = await phone.hear("message.new", conversation_id=bees.id)
        assert heard == {
            "type": "question",
            "message_id": mine["id"],
            "content": "Do they sleep?",
            "participant_id": ben.id,
            "participant_nickname": "Ben",
            "timestamp": mine["created_at"],
            "session_code": bees.code,
        }
        data = native["data"]
        assert (data["id"], data["content"], data["message_type"]) == (mine["id"], "Do they sleep?", "question")
        assert data["created_at"] == mine["created_at"]
        await ear.say({"type": "chat_message", "content": "Hardly"})
        assert await bens.hear("new_message") == said("Cyd", "Hardly")
        await phone.ask("message.send", conversation_id=bees.id, content="Never")
        assert await bens.hear("new_message") == said("Ann", "Never")
        # Whoever is there counts, by whatever way.
        assert await bens.join(bees.code, ben) == 3
    await bens.hear("participant_count_update")


async def test_who_comes_by_dialect_a_is_counted_here(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    cyd = await bees.join(node, "Cyd")
    bens = await clients.joined(node, bees, ben)
    async with bees.ear(node, cyd):
        assert await bens.hear("participant_count_update", {"count": 2}) == {"count": 2}


async def test_who_came_later_is_called_by_his_name(node: Node, bees: LiveSession, ben: Seat, clients: Clients) -> None:
    bens = await clients.joined(node, bees, ben)
    dee = await bees.join(node, "Dee")
    dees = await clients.joined(node, bees, dee)
    dees.emit("send_message", {"message": "I came after you"})
    assert await bens.hear("new_message") == said("Dee", "I came after you")


async def test_a_binary_event_does_no_harm_to_others(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    cyd = await bees.join(node, "Cyd")
    bens, cyds = await clients.joined(node, bees, ben), await clients.joined(node, bees, cyd)
    bens.emit_binary("send_message")
    cyds.emit("send_message", {"message": "What was that?"})
    for client in (cyds, bens):
        assert await client.hear("new_message") == said("Cyd", "What was that?")
    assert await cyds.heard("new_message", "error", "disconnect") == []
    bens.emit("send_message", {"message": "Nothing"})
    assert await cyds.hear("new_message") == said("Ben", "Nothing")


async def test_whoever_asks_for_an_acknowledgement_gets_one(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    client = await clients.joined(node, bees, ben)
    client.ask("send_message", {"message": "Over"})
    assert await client.hear("ack") is None
    assert await client.hear("new_message") == said("Ben", "Over")


async def test_who_breaks_off_is_forgotten(node: Node, bees: LiveSession, ben: Seat, clients: Clients) -> None:
    cyd = await bees.join(node, "Cyd")
    bens, cyds = await clients.joined(node, bees, ben), await clients.joined(node, bees, cyd)
    await cyds.heard()
    bens.break_off()
    assert await bens.hear("disconnect") in ("transport close", "transport error")
    assert await cyds.hear("participant_count_update") == {"count": 2}


async def test_rooms_are_told_apart(stage: Stage, node: Node, bees: LiveSession, ben: Seat, clients: Clients) -> None:
    (eve,) = stage.people(1)
    eves = await open_session(node, eve)
    other = await clients.joined(node, eves, eves.seat)
    bens = await clients.joined(node, bees, ben)
    await other.heard()
    bens.emit("send_message", {"message": "Not for Eve"})
    await bens.hear("new_message")
    bens.close()
    assert await other.heard() == []
    assert await other.join(eves.code, eves.seat) == 1


async def test_a_reaction_a_receipt_and_an_edit_are_not_told(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    client = await clients.joined(node, bees, ben)
    phone = await node.phone(bees.host)
    told = await phone.ask("message.send", conversation_id=bees.id, content="Hello")
    await client.hear("new_message")
    await phone.ask("message.edit", message_id=told["message_id"], content="Hello!")
    await phone.ask("message.read", message_id=told["message_id"])
    await client.heard("participant_count_update")
    assert await client.heard() == [("connect", "websocket")]


async def test_a_crowd_is_told_by_one_serialisation(
    node: Node, bees: LiveSession, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = [
        await clients.joined(node, bees, await bees.join(node, f"Guest {number}"), transports=transports)
        for number, transports in enumerate([WEBSOCKET, POLLING, None] * 3)
    ]
    for client in crowd:
        await client.hear("participant_count_update", {"count": len(crowd)})
    for client in crowd:
        await client.heard()
    written: list[str] = []
    dumps = socket_library.Json.dumps

    def counting(value: Any, **options: Any) -> str:
        text = dumps(value, **options)
        written.append(text)
        return text

    monkeypatch.setattr(socket_library.Json, "dumps", counting)
    for number in range(5):
        crowd[number].emit("send_message", {"message": f"{number}"})
        for client in crowd:
            assert (await client.hear("new_message"))["message"] == f"{number}"
    assert [json.loads(text)[1]["message"] for text in written] == ["0", "1", "2", "3", "4"]


async def test_a_crowd_hears_everything_once_and_in_order(node: Node, bees: LiveSession, clients: Clients) -> None:
    seats = [await bees.join(node, f"Guest {number}") for number in range(10)]
    crowd = [await clients.joined(node, bees, seat) for seat in seats]
    for number in range(10):
        for seat, client in zip(seats, crowd, strict=True):
            client.emit("send_message", {"message": json.dumps([seat.nickname, number])})
    heard = await asyncio.gather(*(hear_all(client, 100) for client in crowd))
    assert all(messages == heard[0] for messages in heard)
    for seat in seats:
        mine = [
            json.loads(message["message"]) for message in heard[0] if message["participant_nickname"] == seat.nickname
        ]
        assert mine == [[seat.nickname, number] for number in range(10)]


async def hear_all(client: Client, count: int) -> list[Any]:
    return [await client.hear("new_message") for _ in range(count)]
