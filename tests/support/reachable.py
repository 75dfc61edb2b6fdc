"""A daemon as its clients see it, wherever it runs."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from tests.support.people import Client, Frame, Phone, token

SECRET = "a-secret-of-at-least-thirty-two-bytes"


class Reachable:
    """A daemon at an address: whoever speaks to it does so over the wire."""

    def __init__(self, origin: str, session: aiohttp.ClientSession, stack: AsyncExitStack) -> None:
        self.origin = origin
        self.session = session
        self._stack = stack

    def client(self, user_id: int, **claims: Any) -> Client:
        """Somebody's REST calls."""
        return Client(self.session, self.origin, token(user_id, SECRET, **claims))

    def nobody(self) -> Client:
        """REST calls without a token."""
        return Client(self.session, self.origin, None)

    async def phone(self, user_id: int, device: str = "", **claims: Any) -> Phone:
        """A connected device of somebody, greeted."""
        return await self._stack.enter_async_context(self.phone_for_a_while(user_id, device, **claims))

    @asynccontextmanager
    async def phone_for_a_while(self, user_id: int, device: str = "", **claims: Any) -> AsyncIterator[Phone]:
        headers = {"Authorization": f"Bearer {token(user_id, SECRET, **claims)}"}
        url = f"{self.origin}/ws/{user_id}?device={device}"
        async with self.session.ws_connect(url, headers=headers, max_msg_size=0) as socket:
            phone = Phone(socket, user_id)
            phone.hello = await phone.hear("system")
            yield phone

    async def knock(
        self, path: str = "/ws/me", bearer: str = "", protocols: tuple[str, ...] = (), **headers: str
    ) -> Frame | tuple[int, str] | int:
        """Open a socket and hear the first word: the hello, the code and reason of its end, or a refusal's HTTP status."""
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        # As it stands: a browser would tidy up the paths that an attacker sends.
        url = URL(self.origin + path, encoded=True)
        try:
            async with self.session.ws_connect(url, headers=headers, protocols=protocols) as socket:
                message = await socket.receive(timeout=10)
                if message.type is aiohttp.WSMsgType.CLOSE:
                    return message.data, message.extra or ""
                return {**message.json(), "subprotocol": socket.protocol}
        except aiohttp.WSServerHandshakeError as refusal:
            return refusal.status
