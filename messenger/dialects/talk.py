"""The incoming side of a dialect's device: frames by a table of its own, and failures in sentences, without a mark to answer to."""

from collections.abc import Mapping
from typing import ClassVar

from messenger.dialects.failures import sentence
from messenger.errors import MessengerError, UnknownType
from messenger.protocol import schemas
from messenger.protocol.frames import Json
from messenger.transport.commands import Entry
from messenger.transport.session import Session


class Talk(Session):
    """`dialect` tells its frames apart in the figures; `commands` are what a client may say, and `error` is the type of what it is
    told where that fails."""

    __slots__ = ()
    dialect: ClassVar[str]
    commands: ClassVar[Mapping[str, Entry]]
    error: ClassVar[str] = "error"

    def ref_of(self, frame: Json) -> str | None:
        return None

    def entry_of(self, frame: Json) -> tuple[str, Entry | None]:
        named = schemas.type_of(frame)
        entry = self.commands.get(named)
        return (named if entry is None else f"{self.dialect}.{named}"), entry

    def refusal(self, error: MessengerError, ref: str | None) -> Json:
        message = sentence(error)
        if isinstance(error, UnknownType):
            message = message.replace("Unknown type", "Unknown message type", 1)
        return {"type": self.error, "message": message}


def nothing(_: object) -> None:
    """The direct answer to a message where the room's event is the answer."""
