"""One way to hand out a delivery, and what may come of it."""

from collections.abc import Mapping
from typing import Protocol

import aiohttp

from messenger.delivery.guard import Answer, Outward, Refused
from messenger.domain.notification import Channel, Delivery


class Failed(Exception):
    """It was not taken, and may be tried again; not before `again_s`, where the other side said so. `error` is a status or the
    kind of failure, and goes into database and log: no content, no address."""

    def __init__(self, error: str, again_s: float | None = None) -> None:
        self.error = error
        self.again_s = again_s
        super().__init__(error)


class Way(Protocol):
    @property
    def channel(self) -> Channel: ...

    async def deliver(self, delivery: Delivery) -> bool:
        """True once it was taken, False where it concerns nobody any more. Raises Failed, Unavailable."""


async def posted(outward: Outward, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """An answer, whatever it says. Raises Failed where there is none."""
    try:
        return await outward.post(url, body, headers)
    except Refused as refused:
        raise Failed(f"refused: {refused}") from None
    except TimeoutError:
        raise Failed("timeout") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Failed(type(error).__name__) from None
