"""A person's list of conversations, where others' activity and others' times come into it."""

from typing import Any

from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import Client

stage = stage_with()
node = node_of_stage()


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


async def test_conversations_of_the_same_microsecond_are_all_listed_once(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)
    ids = [await client.group() for _ in range(20)]
    # From 2038 on a way through a float of seconds loses microseconds.
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
        "select timestamptz '2040-11-21 03:42:59.999999Z' + $1 * interval '1.000003 s'", second
    )


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
