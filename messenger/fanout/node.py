"""One node's fan-out, put together: hub, bus, repair, reception, relay, presence. Leaving the context takes it all down."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from messenger.background import end
from messenger.bus.bus import Bus
from messenger.bus.presence import Presence
from messenger.domain.ids import ConversationId, UserId
from messenger.fanout.acquaintance import Acquaintance
from messenger.fanout.attendance import Attendance
from messenger.fanout.chores import Chores
from messenger.fanout.feed import Feed
from messenger.fanout.hub import Hub
from messenger.fanout.reception import Reception
from messenger.fanout.relay import Relay
from messenger.fanout.repair import Repair
from messenger.fanout.whereabouts import Whereabouts
from messenger.protocol import frames
from messenger.store.conversations import ConversationStore
from messenger.store.duties import Duties
from messenger.store.messages import MessageStore
from messenger.store.users import UserStore


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """Times in seconds."""

    node_id: str
    redis_url: str
    redis_prefix: str
    catch_up_s: float
    presence_ttl_s: float
    presence_grace_s: float


@dataclass(frozen=True, slots=True)
class Census:
    """Who has a device here, the conversations with a participant among them, and how many devices there are."""

    users: Collection[UserId]
    conversations: Collection[ConversationId]
    connections: int


@dataclass(frozen=True, slots=True)
class Node:
    """What transport and the use cases need of fan-out."""

    hub: Hub
    bus: Bus
    reception: Reception
    relay: Relay
    repair: Repair
    presence: Presence
    attendance: Attendance
    whereabouts: Whereabouts
    acquaintance: Acquaintance
    chores: Chores

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        settings: NodeSettings,
        messages: MessageStore,
        conversations: ConversationStore,
        duties: Duties,
        users: UserStore,
    ) -> AsyncIterator["Node"]:
        """A running node. Raises Unavailable where the database is away at the start; Redis may be."""
        async with AsyncExitStack() as stack:
            chores = await stack.enter_async_context(Chores())

            def on_closed(feed: Feed) -> None:
                bus.unsubscribe([bus.channels.conversation(feed.conversation_id)])

            hub = Hub(
                on_hole=lambda feed: repair.on_hole(feed),
                on_came=lambda feed, user_id: repair.bring_in(feed.conversation_id, user_id),
                on_left=lambda user_id: repair.review(user_id),
                on_closed=on_closed,
            )
            bus = await stack.enter_async_context(
                Bus.connected(
                    settings.redis_url,
                    settings.redis_prefix,
                    settings.node_id,
                    on_message=lambda channel, data: relay.receive(channel, data),
                    on_renewed=lambda: on_renewed(),
                )
            )

            def on_renewed() -> None:
                """Something may have been lost, and Redis may be another one."""
                repair.hurry()
                presence.hurry()
                attendance.hurry()
                whereabouts.hurry()

            presence = bus.presence(
                ttl_s=settings.presence_ttl_s,
                grace_s=settings.presence_grace_s,
                on_leaving=lambda since: attendance.leaving(since),
                on_forgotten=lambda: attendance.hurry(),
            )
            attendance = Attendance(hub.watches, presence, chores, frames.presence, duties.record_last_seen)
            whereabouts = Whereabouts(bus, chores, ttl_s=settings.presence_ttl_s, grace_s=settings.presence_grace_s)
            acquaintance = Acquaintance(hub, attendance, duties, users, chores)
            repair = Repair(
                hub, bus, chores, messages, conversations, duties, users, acquaintance, interval_s=settings.catch_up_s
            )
            relay = Relay(hub, bus, repair, attendance, whereabouts, acquaintance)
            await bus.subscribe(bus.of_everybody)
            await repair.begin()
            stack.push_async_callback(bus.forget_figures)  # when nobody sweeps any more
            await stack.enter_async_context(presence)
            await stack.enter_async_context(whereabouts)
            reception = Reception(hub, bus, duties, repair, acquaintance)
            await bus.tried()
            node = cls(hub, bus, reception, relay, repair, presence, attendance, whereabouts, acquaintance, chores)
            tasks = [
                asyncio.create_task(repair.poll_forever(), name="anti-entropy"),
                asyncio.create_task(attendance.run_forever(), name="attendance"),
                asyncio.create_task(bus.tell_figures_forever(node.figures), name="figures"),
            ]
            try:
                yield node
            finally:
                await end(tasks)

    def census(self) -> Census:
        """Who is on this node."""
        connections = sum(len(person.devices) for person in self.hub.people.values())
        return Census(self.hub.people.keys(), self.hub.feeds.keys(), connections)

    def figures(self) -> Mapping[str, int]:
        """What this node counts."""
        census = self.census()
        return {
            "online_users": len(census.users),
            "total_connections": census.connections,
            "active_conversations": len(census.conversations),
        }

    async def cluster_figures(self) -> Mapping[str, int]:
        """What all nodes count, each user and each conversation once; this node's own figures while Redis is away."""
        own = self.figures()
        others = await self.bus.cluster_figures()
        if others is None:
            return {"nodes": 1, **own}
        return {
            "nodes": 1 + len(others),
            # What this node has itself is there, whatever the bus has forgotten.
            "online_users": max(await self.presence.online_users(), own["online_users"]),
            "total_connections": own["total_connections"] + sum(item["total_connections"] for item in others),
            "active_conversations": max(await self.bus.cluster_conversations(), own["active_conversations"]),
        }
