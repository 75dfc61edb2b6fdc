"""The presenter's state of each live session, in Redis, for an hour. It is no part of any history: who comes later asks for it."""

from typing import cast

from redis import asyncio as aioredis

from messenger.bus.away import AWAY
from messenger.bus.breaker import Breaker
from messenger.bus.channels import Channels
from messenger.domain.ids import ConversationId
from messenger.errors import Unavailable


class States:
    """JSON texts, by conversation. Raises Unavailable while Redis is away."""

    def __init__(self, client: aioredis.Redis, breaker: Breaker, channels: Channels, *, lasts_s: int) -> None:
        self._client = client
        self._breaker = breaker
        self._channels = channels
        self._lasts_s = lasts_s

    async def put(self, conversation_id: ConversationId, state: bytes) -> None:
        try:
            with self._breaker.guarding():
                await self._client.set(self._channels.state(conversation_id), state, ex=self._lasts_s)
        except AWAY:
            raise Unavailable("Redis did not answer; try again") from None

    async def get(self, conversation_id: ConversationId) -> bytes | None:
        try:
            with self._breaker.guarding():
                return cast("bytes | None", await self._client.get(self._channels.state(conversation_id)))
        except AWAY:
            raise Unavailable("Redis did not answer; try again") from None
