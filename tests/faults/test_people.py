"""Blocks and profiles while Redis is gone: what nodes tell each other over it they find in the database, within a poll."""

import asyncio

from tests.integration.test_blocks import block, in_effect, offline, online, unblock
from tests.integration.test_profiles import updated
from tests.support.breakable import BreakableRedis
from tests.support.node import Cluster
from tests.support.people import Phone

ANN, BEN, CYD = 1, 2, 3


async def healthy(*phones: Phone, user_ids: tuple[int, ...]) -> None:
    """Return once these devices see each other online, as they do when leases were renewed."""
    async with asyncio.timeout(20):
        for phone in phones:
            while not all(user["online"] for user in (await phone.ask("presence", user_ids=list(user_ids)))["users"]):
                await asyncio.sleep(0.05)


async def test_a_block_counts_on_every_node_without_a_bus_and_after_it(cluster: Cluster, redis: BreakableRedis) -> None:
    one, two = await cluster.node(presence_ttl_s=1.5), await cluster.node(presence_ttl_s=1.5)
    tea = await one.client(ANN).group(BEN, CYD)
    ann, ben, cyd = await one.phone(ANN), await two.phone(BEN), await two.phone(CYD)
    for phone in (ann, ben, cyd):
        await phone.ask("subscribe", conversation_id=tea)
    await healthy(ann, ben, cyd, user_ids=(ANN, BEN, CYD))
    await ann.unheard()
    await ben.unheard()
    redis.kill()
    await block(one.client(ANN), BEN)
    assert await ann.hear("user.offline") == offline(BEN)
    assert await ben.hear("user.offline") == offline(ANN)
    # Redis is back and knows nothing: whoever is here is said to be so to whom it may be said.
    redis.start()
    await in_effect(two, BEN, ANN)
    await healthy(cyd, user_ids=(ANN, BEN, CYD))
    for phone, other in ((ann, BEN), (ben, ANN)):
        (told,) = (await phone.ask("presence", user_ids=[other]))["users"]
        assert told == {"user_id": other, "online": False, "last_seen_at": None}
        assert await phone.unheard("user.online", "user.offline") == []
    redis.kill()
    await unblock(one.client(ANN), BEN)
    await in_effect(one, ANN, BEN, apart=False)
    await in_effect(two, BEN, ANN, apart=False)
    redis.start()
    assert await ann.hear("user.online", within_s=20) == online(BEN)
    assert await ben.hear("user.online", within_s=20) == online(ANN)


async def test_a_new_name_is_told_on_every_node_without_a_bus(cluster: Cluster, redis: BreakableRedis) -> None:
    one, two = await cluster.node(), await cluster.node()
    await one.client(ANN).group(BEN)
    phones = [await one.phone(ANN), await one.phone(BEN), await two.phone(ANN), await two.phone(BEN)]
    redis.kill()
    assert (await one.client(ANN, name="Ann").get("/users/me"))[0] == 200
    for phone in phones:
        assert await phone.hear("user.updated") == updated(ANN, "Ann")
    redis.start()
    assert (await two.client(ANN, name="Annie").get("/users/me"))[0] == 200
    for phone in phones:
        assert await phone.hear("user.updated") == updated(ANN, "Annie")
        assert await phone.unheard("user.updated") == []
