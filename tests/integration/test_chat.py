"""Two people and their devices: what one says, all hear."""

import asyncio
from typing import Any

from tests.support.node import Cluster

ANN, BEN, CYD = 1, 2, 3


async def test_a_message_reaches_every_device_of_everybody_once(cluster: Cluster) -> None:
    node = await cluster.node()
    tea = await node.client(ANN, name="Ann").group(BEN)
    phones = [await node.phone(user) for user in (ANN, ANN, BEN, BEN)]
    sent = await phones[0].ask("message.send", conversation_id=tea, content="Milk?", client_id="c1")
    assert (sent["type"], sent["seq"], sent["change"], sent["client_id"]) == ("message.sent", 1, 1, "c1")
    for phone in phones:
        heard = await phone.hear("message.new")
        assert heard == {
            "type": "message.new",
            "conversation_id": tea,
            "seq": 1,
            "change": 1,
            "data": sent["data"],
        }
        await phone.silence("message.new")


async def test_two_nodes_act_as_one(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    tea = await one.client(ANN).group(BEN)
    ann, ben = await one.phone(ANN), await two.phone(BEN)
    for number in range(20):
        await ann.ask("message.send", conversation_id=tea, content=f"a{number}")
        await ben.ask("message.send", conversation_id=tea, content=f"b{number}")
    for phone in (ann, ben):
        events = await phone.durable(tea, 40)
        assert [event["change"] for event in events] == list(range(1, 41))
        assert all("after" not in event for event in events)


async def test_a_hundred_writers_leave_no_hole(cluster: Cluster, oracle: Any) -> None:
    one, two = await cluster.node(rate_messages=_unlimited()), await cluster.node(rate_messages=_unlimited())
    others = list(range(2, 102))
    tea = await one.client(ANN).group(*others)
    listener = await two.phone(ANN)

    async def write(user: int) -> None:
        client = (one, two)[user % 2].client(user)
        for number in range(3):
            await client.send(tea, f"{user}:{number}")

    await asyncio.gather(*(write(user) for user in others))
    rows = await oracle.fetch("select seq, change from messenger.messages where conversation_id = $1 order by seq", tea)
    assert [(row["seq"], row["change"]) for row in rows] == [(number, number) for number in range(1, 301)]
    events = await listener.durable(tea, 300)
    assert [event["change"] for event in events] == list(range(1, 301))


def _unlimited() -> Any:
    from messenger.config import Rate

    return Rate(0, 1, 0)
