"""What devices do while something is broken: they ping and are answered, and send until they are."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from tests.support.people import Frame, Phone

# Whatever breaks elsewhere: who asks for nothing of it is answered as if nothing were.
PONG_S = 1.0
PING_EVERY_S = 0.05
# A client that is told `unavailable` waits so long before it sends again.
BACK_OFF_S = 0.1
# By then what should not come twice would have.
QUIET_S = 0.5


@asynccontextmanager
async def responsive(*phones: Phone) -> AsyncIterator[None]:
    """All the while these devices stay connected, and every ping of theirs is answered at once. Nobody else uses them."""
    over = asyncio.Event()
    slowest = [0.0] * len(phones)

    async def ping(place: int) -> None:
        while not over.is_set():
            began = time.monotonic()
            await phones[place].ask("ping")
            slowest[place] = max(slowest[place], time.monotonic() - began)
            await asyncio.sleep(PING_EVERY_S)

    tasks = [asyncio.create_task(ping(place)) for place in range(len(phones))]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*tasks)
    assert max(slowest) < PONG_S, slowest


@dataclass
class Sender:
    """Somebody who sends numbered messages, one after another, each until it is acknowledged. A client's own retry."""

    phone: Phone
    conversation_id: str
    # How long an answer may take, whatever it is.
    within_s: float
    sent: list[Frame] = field(default_factory=list)
    refused: int = 0
    slowest_s: float = 0.0

    async def send(self, count: int = 1) -> None:
        for _ in range(count):
            while not await self.attempt():
                await asyncio.sleep(BACK_OFF_S)

    async def attempt(self) -> bool:
        """Try the next one once. False where it was unavailable; anything else would be a defect."""
        number = str(len(self.sent))
        began = time.monotonic()
        async with asyncio.timeout(self.within_s):
            answer = await self.phone.ask(
                "message.send", conversation_id=self.conversation_id, content=number, client_id=self.client_id(number)
            )
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        if answer["type"] == "error":
            assert answer["code"] == "unavailable", answer
            self.refused += 1
            return False
        assert (answer["type"], answer["data"]["content"]) == ("message.sent", number)
        self.sent.append(answer)
        return True

    def client_id(self, number: str) -> str:
        return f"{self.phone.user_id}-{number}"

    async def is_stored(self, oracle: asyncpg.Connection) -> None:
        """Every message that was acknowledged is in the table once, as it was acknowledged, and no other of his is."""
        rows = await oracle.fetch(
            """
            select id::text, seq, change, content, client_id from messenger.messages
            where conversation_id = $1 and sender_id = $2 and message_type = 'text' order by seq
            """,
            self.conversation_id,
            self.phone.user_id,
        )
        acknowledged = [
            (frame["message_id"], frame["seq"], frame["change"], str(number), self.client_id(str(number)))
            for number, frame in enumerate(self.sent)
        ]
        assert [tuple(row) for row in rows] == acknowledged


async def have_heard_all(oracle: asyncpg.Connection, conversation_id: str, *phones: Phone) -> None:
    """Devices that were there from the beginning have every message of the table, once and in order."""
    rows = await oracle.fetch(
        "select id::text, seq, change, content from messenger.messages where conversation_id = $1 order by seq",
        conversation_id,
    )
    stored = [tuple(row) for row in rows]
    for phone in phones:
        await phone.durable(conversation_id, stored[-1][2])
    await asyncio.sleep(QUIET_S)
    for phone in phones:
        await phone.ask("ping")
        heard = await phone.durable(conversation_id, stored[-1][2])
        assert [
            (event["data"]["id"], event["seq"], event["change"], event["data"]["content"]) for event in heard
        ] == stored
