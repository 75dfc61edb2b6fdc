"""A person's list of conversations: what each line shows, and pages without a repeat or a gap."""

import base64
from typing import Any

import pytest

from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import Client, group

stage = stage_with()
node = node_of_stage()

DEFAULTS = {"level": "all", "muted_until": None, "push_enabled": True, "email_enabled": False}


async def pages(client: Client, limit: int) -> list[list[str]]:
    """The ids of every page, to the end."""
    found, query = [], f"limit={limit}"
    while True:
        status, told = await client.get(f"/conversations?{query}")
        assert (status, told.keys()) == (200, {"conversations", "next_cursor"})
        found.append([item["id"] for item in told["conversations"]])
        if told["next_cursor"] is None:
            return found
        assert len(found[-1]) == limit
        query = f"limit={limit}&cursor={told['next_cursor']}"


async def test_each_line_shows_the_last_message_and_what_is_unread(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    one, two = node.client(ann), node.client(ben)
    tea, milk = await one.group(ben), await one.group(ben, title="Milk")
    first, last = await one.send(tea, "first"), await one.send(tea, "last")
    await two.post(f"/messages/{first['id']}/read")
    told = await two.get("/conversations")
    counts: dict[str, Any] = {"participant_count": 2, "my_role": "member", "notification": DEFAULTS}
    assert told == (
        200,
        {
            "conversations": [
                group(
                    tea, ann, last_seq=2, last_change=2, last_message=last, last_read_seq=1, unread_count=1, **counts
                ),
                group(milk, ann, title="Milk", last_message=None, last_read_seq=0, unread_count=0, **counts),
            ],
            "next_cursor": None,
        },
    )
    assert [item["unread_count"] for item in (await one.get("/conversations"))[1]["conversations"]] == [0, 0]


async def test_a_list_of_nothing_is_empty(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    assert await node.client(ann).get("/conversations") == (200, {"conversations": [], "next_cursor": None})


async def test_the_latest_activity_comes_first_and_pages_are_complete(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    client = node.client(ann)
    ids = [await client.group(ben) for _ in range(7)]
    await node.client(ben).send(ids[2], "hello")
    message = await client.send(ids[4], "hello")
    await client.send(ids[0], "hello")
    assert (await client.patch(f"/messages/{message['id']}", {"content": "activity too"}))[0] == 200
    expected = [ids[number] for number in (4, 0, 2, 6, 5, 3, 1)]
    for limit in (1, 3, 7, 200):
        found = await pages(client, limit)
        assert [item for page in found for item in page] == expected
        assert len(found) == -(-7 // limit)


async def test_what_moves_up_while_one_pages_is_neither_repeated_below_nor_hides_another(
    stage: Stage, node: Node
) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)
    ids = [await client.group() for _ in range(6)][::-1]
    _, first = await client.get("/conversations?limit=2")
    await client.send(ids[4], "moves to the top")
    await client.send(ids[0], "was at the top")
    _, second = await client.get(f"/conversations?limit=2&cursor={first['next_cursor']}")
    _, third = await client.get(f"/conversations?limit=2&cursor={second['next_cursor']}")
    seen = [[item["id"] for item in page["conversations"]] for page in (first, second, third)]
    assert seen == [ids[:2], ids[2:4], ids[5:]]
    assert third["next_cursor"] is None


async def test_conversations_of_the_same_microsecond_are_all_listed_once(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)
    ids = [await client.group() for _ in range(20)]
    # Some of these times are not what they were after a way through a float of seconds.
    for second in range(5):
        for place in range(4):
            await stage.oracle.execute(
                "update messenger.conversation_heads set active_at = $1::timestamptz where conversation_id = $2",
                *(await _at(stage, second), ids[second * 4 + place]),
            )
    for limit in (1, 2, 3):
        found = [item for page in await pages(client, limit) for item in page]
        assert (len(found), set(found)) == (20, set(ids))


async def _at(stage: Stage, second: int) -> Any:
    return await stage.oracle.fetchval(
        "select timestamptz '2026-11-21 03:42:59.999999Z' + $1 * interval '1.000003 s'", second
    )


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "1.5", "+1", "%201", "1e2", "9" * 30, "٣"])
async def test_a_limit_is_a_number_of_at_least_one(stage: Stage, node: Node, limit: str) -> None:
    (ann,) = stage.people(1)
    for path in ("/conversations", f"/conversations/{await node.client(ann).group()}/messages"):
        status, told = await node.client(ann).get(f"{path}?limit={limit}")
        assert (status, told["code"], told["field"]) == (422, "invalid_frame", "limit")


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "%00",
        "null",
        "%ED%A0%80",
        "é",
        encoded(""),
        encoded("1:x"),
        encoded("x:01890000-0000-7000-8000-000000000000"),
    ]
    + [
        encoded(f"{number}:01890000-0000-7000-8000-000000000000")
        for number in ("9" * 30, "9" * 5000, "-" + "9" * 20, "1.5", "")
    ],
    ids=lambda cursor: cursor[:20],
)
async def test_a_cursor_that_we_never_gave_is_refused(stage: Stage, node: Node, cursor: str) -> None:
    (ann,) = stage.people(1)
    status, told = await node.client(ann).get(f"/conversations?cursor={cursor}")
    assert (status, told["code"], told["field"]) == (422, "invalid_frame", "cursor")


async def test_anothers_cursor_shows_nothing_of_his(stage: Stage, node: Node) -> None:
    ann, eve = stage.people(2)
    for _ in range(2):
        await node.client(ann).group()
    mine = await node.client(eve).group()
    cursor = (await node.client(ann).get("/conversations?limit=1"))[1]["next_cursor"]
    assert [mine] not in await pages(node.client(ann), 1)
    status, told = await node.client(eve).get(f"/conversations?cursor={cursor}")
    assert (status, told) == (200, {"conversations": [], "next_cursor": None})


async def test_a_newcomer_is_shown_no_last_message_from_before_he_came(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    client = node.client(ann)
    tea = await client.group(history="joined")
    await client.send(tea, "before")
    await client.post(f"/conversations/{tea}/participants", {"user_ids": [ben]})
    (line,) = (await node.client(ben).get("/conversations"))[1]["conversations"]
    assert (line["first_seq"], line["last_message"]["metadata"]["event"]) == (2, "participant.added")
    assert (line["unread_count"], line["my_role"]) == (0, "member")
