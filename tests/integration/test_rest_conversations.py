"""Conversations over REST: made, listed, changed, deleted; and what phones hear of it."""

import base64
from http import HTTPStatus
from typing import Any

import pytest

from tests.support.node import Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, A_UUID7, Client, Frame, entry

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"


def problem(status: int, code: str, message: str, **more: Any) -> tuple[int, Frame]:
    title = HTTPStatus(status).phrase
    told = {"type": "about:blank", "title": title, "status": status, "detail": message, "code": code}
    return status, {**told, "message": message, **more}


NOT_IN = problem(404, "not_participant", "Not a participant of this conversation")


def tea(maker: int, **more: Any) -> Frame:
    """A group as its maker sees it, with everything that is not said as it is at first."""
    return {
        "id": A_UUID7, "type": "group", "title": "Tea", "metadata": {}, "created_by": maker, "created_at": A_TIME,
        "updated_at": A_TIME, "first_seq": 1, "last_seq": 0, "last_change": 0, "history": "all", "participant_count": 1,
        "my_role": "admin", **more,
    }  # fmt: skip


def shared(conversation: Frame) -> Frame:
    """A conversation as an event tells it to everybody."""
    return {name: value for name, value in conversation.items() if name != "my_role"} | {"first_seq": 1}


async def listed(client: Client, **query: Any) -> tuple[list[str], str | None]:
    """The ids of a page, and the next cursor."""
    status, page = await client.get("/conversations", params=query)
    assert (status, set(page)) == (200, {"conversations", "next_cursor"})
    return [item["id"] for item in page["conversations"]], page["next_cursor"]


@pytest.mark.parametrize("kind", ["direct", "group", "announcement"])
async def test_each_type_is_made_and_everybody_hears_of_it(stage: Stage, node: Node, kind: str) -> None:
    ann, ben = stage.people(2)
    phones = [await node.phone(user) for user in (ann, ann, ben)]
    said = {"type": kind, "title": "Tea", "metadata": {"leaf": ["green"]}, "history": "joined"}
    status, made = await node.client(ann).post("/conversations", {**said, "participant_ids": [ben, ann, ben]})
    expected = tea(ann, participant_count=2, **said)
    assert (status, made) == (201, expected)
    for phone, role in zip(phones, ("admin", "admin", "member"), strict=True):
        told = {"conversation_id": made["id"], "conversation": {**made, "my_role": role}}
        assert await phone.hear("conversation.created") == {"type": "conversation.created", **told}
        assert await phone.unheard() == []
    assert await node.client(ben).get(f"/conversations/{made['id']}") == (200, {**made, "my_role": "member"})
    assert await stage.log_of(made["id"]) == []


async def test_a_second_direct_conversation_of_a_pair_is_the_first(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    said = {"type": "direct", "participant_ids": [ben]}
    status, first = await node.client(ann).post("/conversations", {**said, "title": "Us"})
    phones = [await node.phone(ann), await node.phone(ben)]
    again = {"type": "direct", "participant_ids": [ben], "title": "We", "metadata": {"a": 1}, "history": "joined"}
    assert (status, await node.client(ann).post("/conversations", again)) == (201, (200, first))
    other_way = {"type": "direct", "participant_ids": [ann]}
    assert await node.client(ben).post("/conversations", other_way) == (200, {**first, "my_role": "member"})
    for phone in phones:
        assert await phone.unheard() == []


async def test_a_direct_conversation_is_with_one_other(stage: Stage, node: Node) -> None:
    ann, ben, cyd = stage.people(3)
    client = node.client(ann)
    refusal = problem(422, "invalid_frame", "participant_ids must name one other user", field="participant_ids")
    for others in ([ann], [], [ben, cyd]):
        assert await client.post("/conversations", {"type": "direct", "participant_ids": others}) == refusal
    assert await listed(client) == ([], None)


async def test_a_wrong_field_is_named_and_an_absent_one_has_its_default(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client, good = node.client(ann), {"type": "group", "participant_ids": []}
    for field, value in (("type", "room"), ("participant_ids", [0]), ("title", "\x00"), ("history", "none")):
        status, told = await client.post("/conversations", {**good, field: value})
        assert (status, told["code"], told["field"]) == (422, "invalid_frame", field)
    assert await listed(client) == ([], None)
    assert await client.post("/conversations", {**good, "colour": "green"}) == (201, tea(ann, title=None))


async def test_unknown_users_are_made_or_refused_as_it_is_set(cluster: Cluster, oracle: Any) -> None:
    ann, ben, cyd, dee = 1, 2, 3, 4
    open_, strict = await cluster.node(), await cluster.node(unknown_users="refuse")
    await open_.client(ann).group(ben)
    body = {"type": "group", "participant_ids": [ben, cyd]}
    refusal = problem(404, "user_not_found", "User not found")
    assert await strict.client(ann).post("/conversations", body) == refusal
    told = await strict.client(ann).post("/conversations", {**body, "participant_ids": [ben]})
    assert told == (201, tea(ann, title=None, participant_count=2))
    made = await open_.client(ann).group(cyd)
    assert await strict.client(ann).post(f"/conversations/{made}/participants", {"user_ids": [cyd, dee]}) == refusal
    rows = await oracle.fetch("select id from messenger.users order by id")
    assert [row["id"] for row in rows] == [ann, ben, cyd]


async def test_where_only_the_service_starts_nobody_else_does(cluster: Cluster) -> None:
    client = (await cluster.node(who_starts="service")).client(1)
    for kind in ("direct", "group", "announcement"):
        told = await client.post("/conversations", {"type": kind, "participant_ids": [2]})
        assert told == problem(403, "forbidden", "Only the host application makes conversations")
    assert await listed(client) == ([], None)


async def test_the_list_says_exactly_this(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    client, picture = node.client(ann), "https://example.org/b.png"
    older, newer = await client.group(ben), await client.group(ben, title="Milk", history="joined")
    bens = node.client(ben, name="Ben", picture=picture)
    said = await bens.send(older, "é", mentions=[ann], attachments=[{"url": "/a"}], metadata={"a": [1.5]})
    everything = {"level": "all", "muted_until": None, "push_enabled": True, "email_enabled": False}
    await stage.oracle.execute(
        "insert into messenger.notification_settings values ($1, $2, 'mentions', '2030-01-01', false, true)", newer, ann
    )
    quiet = {"level": "mentions", "muted_until": "2030-01-01T00:00:00Z", "push_enabled": False, "email_enabled": True}
    people = [{"user_id": ben, "name": "Ben", "avatar_url": picture}]
    one = tea(ann, id=older, participant_count=2, last_seq=1, last_change=1, people=people)
    one |= {"last_message": said, "last_read_seq": 0, "unread_count": 1, "notification": everything}
    two = tea(ann, id=newer, title="Milk", history="joined", participant_count=2, people=people)
    two |= {"last_message": None, "last_read_seq": 0, "unread_count": 0, "notification": quiet}
    assert await client.get("/conversations") == (200, {"conversations": [one, two], "next_cursor": None})
    await client.post(f"/messages/{said['id']}/read")
    one |= {"last_read_seq": 1, "unread_count": 0}
    await client.delete(f"/messages/{said['id']}")
    _, page = await client.get("/conversations")
    gone = entry(older, 1, ben, None, change=2, deleted_at=A_TIME, created_at=said["created_at"])
    assert page["conversations"][0] == {**one, "last_change": 2, "last_message": gone}


async def test_the_latest_activity_stands_first(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    one, two, three = [await client.group() for _ in range(3)]
    assert (await listed(client))[0] == [three, two, one]
    message = await client.send(one, "x")
    assert (await listed(client))[0] == [one, three, two]
    await client.patch(f"/conversations/{two}", {"title": "Milk"})
    assert (await listed(client))[0] == [two, one, three]
    await client.patch(f"/messages/{message['id']}", {"content": "y"})
    assert (await listed(client))[0] == [one, two, three]
    await client.post(f"/messages/{message['id']}/read")
    assert (await listed(client))[0] == [one, two, three]


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
async def test_pages_are_complete_without_repeats_even_of_one_moment(stage: Stage, node: Node, limit: int) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)
    made = [await client.group() for _ in range(7)]
    # Four share a microsecond: the id decides.
    await stage.oracle.execute(
        "update messenger.conversation_heads set active_at = '2024-02-29 12:00:00.123457+00' where conversation_id = any($1)",
        made[1:5],
    )
    expected = [made[6], made[5], made[0], *sorted(made[1:5], reverse=True)]
    assert await listed(client) == (expected, None)
    found, cursor = await listed(client, limit=limit)
    while cursor is not None:
        page, cursor = await listed(client, limit=limit, cursor=cursor)
        assert 1 <= len(page) <= limit
        found += page
    assert found == expected


async def test_what_moves_to_the_front_meanwhile_repeats_nothing(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    made = [await client.group() for _ in range(6)]
    first, cursor = await listed(client, limit=2)
    assert first == [made[5], made[4]]
    await client.send(made[5], "seen already")
    await client.send(made[1], "not seen yet")
    await client.group()
    second, cursor = await listed(client, limit=2, cursor=cursor)
    third, cursor = await listed(client, limit=2, cursor=cursor)
    assert (second, third, cursor) == ([made[3], made[2]], [made[0]], None)


def _b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "", "x", "é", "====", "null", _b64("1"), _b64("1:x"), _b64(f"x:{NOBODYS}"), _b64(f"{9**99}:{NOBODYS}"),
        _b64(f"-{10**18}:{NOBODYS}"), _b64("9" * 5000), base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
    ids=lambda cursor: ascii(cursor)[:20],
)  # fmt: skip
async def test_a_cursor_that_is_none_of_ours_is_refused(stage: Stage, node: Node, cursor: str) -> None:
    told = await node.client(*stage.people(1)).get("/conversations", params={"cursor": cursor})
    assert told == problem(422, "invalid_frame", "cursor is none of ours", field="cursor")


async def test_a_limit_is_a_whole_number_of_at_least_1(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    for limit in ("0", "-1", "1.0", "", "x", "٧", "9" * 17):
        told = await client.get("/conversations", params={"limit": limit})
        assert told == problem(422, "invalid_frame", "limit must be an integer of at least 1", field="limit")
    assert await client.get("/conversations?limit=9007199254740991") == (
        200,
        {"conversations": [], "next_cursor": None},
    )


async def test_an_admin_changes_title_and_metadata_and_everybody_hears_it(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    client = node.client(ann, name="Ann")
    made = await client.group(ben, metadata={"leaf": "green"})
    phones = [await node.phone(ann), await node.phone(ben)]
    expected = tea(ann, id=made, participant_count=2)
    for number, (body, title, metadata, content, named) in enumerate(
        [
            ({"title": "Milk"}, "Milk", {"leaf": "green"}, "Ann changed the title to Milk", {"title": "Milk"}),
            ({"metadata": {}}, "Milk", {}, "Ann changed the conversation", {}),
            ({"title": None}, None, {}, "Ann removed the title", {"title": None}),
            ({"title": "%s", "metadata": {"a": 1}}, "%s", {"a": 1}, "Ann changed the title to %s", {"title": "%s"}),
        ],
        start=1,
    ):
        status, told = await client.patch(f"/conversations/{made}", body)
        expected |= {"title": title, "metadata": metadata, "last_seq": number, "last_change": number}
        assert (status, told) == (200, expected)
        assert told["updated_at"] > told["created_at"]
        system = {"message_type": "system", "metadata": {"event": "conversation.updated", "by": ann, **named}}
        for phone in phones:
            assert await phone.hear("conversation.updated") == {
                "type": "conversation.updated", "conversation_id": made, "seq": number, "change": number,
                "conversation": shared(told), "data": entry(made, number, ann, content, **system),
            }  # fmt: skip
    for body in ({}, {"colour": "green"}):
        refusal = problem(422, "invalid_frame", "title must be given, or metadata", field="title")
        assert await client.patch(f"/conversations/{made}", body) == refusal
    assert await client.get(f"/conversations/{made}") == (200, told)


async def test_nobody_but_an_admin_changes_or_deletes_a_conversation(stage: Stage, node: Node) -> None:
    ann, ben, cyd, eve = stage.people(4)
    made = await node.client(ann).group(ben, cyd)
    await node.client(ann).patch(f"/conversations/{made}/participants/{cyd}", {"role": "observer"})
    phone, path = await node.phone(ann), f"/conversations/{made}"
    for user in (ben, cyd):
        told = await node.client(user).patch(path, {"title": "Milk"})
        assert told == problem(403, "forbidden", "Only admins can change a conversation")
        told = await node.client(user).delete(path)
        assert told == problem(403, "forbidden", "Only admins can delete a conversation")
    stranger = node.client(eve)
    for where in (path, f"/conversations/{NOBODYS}"):
        assert await stranger.get(where) == NOT_IN
        assert await stranger.patch(where, {"title": "Milk"}) == NOT_IN
        assert await stranger.delete(where) == NOT_IN
    assert await phone.unheard() == []
    assert (await node.client(ann).get(path))[1]["title"] == "Tea"


async def test_a_deleted_conversation_is_gone_for_everybody(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    client = node.client(ann)
    made = await client.group(ben)
    message = await client.send(made, "x")
    phones = [await node.phone(user) for user in (ann, ann, ben)]
    assert await client.delete(f"/conversations/{made}") == (204, None)
    for phone in phones:
        told = {"type": "conversation.deleted", "conversation_id": made, "conversation": None}
        assert await phone.hear("conversation.deleted") == told
        assert await phone.unheard() == []
    for user in (ann, ben):
        other = node.client(user)
        assert await other.get(f"/conversations/{made}") == NOT_IN
        assert await other.get(f"/conversations/{made}/messages") == NOT_IN
        assert await other.delete(f"/conversations/{made}") == NOT_IN
        assert (await other.patch(f"/messages/{message['id']}", {"content": "y"}))[1]["code"] == "message_not_found"
        assert await listed(other) == ([], None)
    assert await stage.log_of(made) == []


async def test_deleting_a_direct_conversation_only_leaves_it(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    _, made = await node.client(ann).post("/conversations", {"type": "direct", "participant_ids": [ben]})
    path, phones = f"/conversations/{made['id']}", [await node.phone(ann), await node.phone(ben)]
    assert await node.client(ben).delete(path) == (204, None)
    for phone in phones:
        gone = await phone.hear("participant.removed")
        assert (gone["conversation_id"], gone["user_id"], gone["by"], gone["change"]) == (made["id"], ben, ben, 1)
        assert await phone.unheard() == []
    assert await node.client(ben).get(path) == NOT_IN
    assert await node.client(ben).delete(path) == NOT_IN
    left = {**made, "participant_count": 1, "last_seq": 1, "last_change": 1}
    assert await node.client(ann).get(path) == (200, left)
