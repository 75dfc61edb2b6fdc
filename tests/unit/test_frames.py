"""What the daemon says, as bytes: WebSocket headers against the RFC, times in UTC, and events told again."""

import struct
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import asyncpg.pgproto.pgproto
import orjson
import pytest

from messenger.domain.conversation import Conversation
from messenger.domain.ids import ConversationId, MessageId, UserId
from messenger.domain.message import Message, Sent
from messenger.errors import InvalidFrame, RateLimited, Unauthorized
from messenger.protocol import frames

TEA = ConversationId(UUID("01890000-0000-7000-8000-000000000001"))
ONE = MessageId(UUID("01890000-0000-7000-8000-000000000002"))
AT = datetime(2024, 2, 29, 23, 59, 59, 120_000, UTC)


def message(**more: object) -> Message:
    said = {"content": "Milk?", "message_type": "text", "created_at": AT, **more}
    return Message(TEA, ONE, 3, 5, UserId(1), **said)  # type: ignore[arg-type]


def parsed(frame: bytes) -> tuple[int, int, int, bytes]:
    """First byte, length as it is written (7, 16 or 64 bits), length, payload: RFC 6455 §5.2 read anew."""
    first, second = frame[0], frame[1]
    assert not second & 0x80, "a server's frame is not masked"
    if second < 126:
        return first, 7, second, frame[2:]
    if second == 126:
        return first, 16, struct.unpack("!H", frame[2:4])[0], frame[4:]
    return first, 64, struct.unpack("!Q", frame[2:10])[0], frame[10:]


@pytest.mark.parametrize(
    ("size", "bits"), [(0, 7), (1, 7), (125, 7), (126, 16), (127, 16), (65535, 16), (65536, 64), (262144, 64)]
)
def test_a_frame_says_its_length_in_the_fewest_bytes(size: int, bits: int) -> None:
    payload = b"x" * size
    assert parsed(frames.text_frame(payload)) == (0x81, bits, size, payload)


def test_pings_and_pongs_are_whole_control_frames() -> None:
    assert frames.ping_frame() == b"\x89\x00"
    assert frames.pong_frame(b"") == b"\x8a\x00"
    assert parsed(frames.pong_frame(b"y" * 125)) == (0x8A, 7, 125, b"y" * 125)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (AT, "2024-02-29T23:59:59.120000Z"),
        (AT.replace(microsecond=0), "2024-02-29T23:59:59Z"),
        (AT.replace(tzinfo=None), "2024-02-29T23:59:59.120000Z"),
        (AT.astimezone(timezone(timedelta(0))), "2024-02-29T23:59:59.120000Z"),
    ],
)
def test_times_end_in_z(time: datetime, text: str) -> None:
    assert frames.encode({"at": time}) == f'{{"at":"{text}"}}'.encode()


def test_ids_are_text_also_those_that_the_database_driver_makes() -> None:
    driver = asyncpg.pgproto.pgproto.UUID(str(TEA))
    assert frames.encode({"ours": TEA, "driver": driver}) == f'{{"ours":"{TEA}","driver":"{TEA}"}}'.encode()


def test_what_has_no_place_in_json_is_never_written_somehow() -> None:
    with pytest.raises(TypeError):
        frames.encode({"odd": object()})


def test_an_event_told_again_says_from_where_on_and_nothing_else_is_different() -> None:
    body = frames.encode(frames.change(message(content='é "\u2028'), "message.new"))
    assert "after" not in orjson.loads(body)
    again = orjson.loads(frames.retold(body, 2))
    assert again == {**orjson.loads(body), "after": 2}
    assert orjson.loads(frames.retold(frames.retold(body, 2), 1)) == {**orjson.loads(body), "after": 1}


def test_after_is_told_only_where_an_event_folds_in_others() -> None:
    assert "after" not in frames.change(message(), "message.new", after=4)
    assert frames.change(message(), "message.new", after=3)["after"] == 3
    assert frames.change(message(), "message.new", after=0)["after"] == 0


def test_each_kind_of_change_carries_its_own_fields() -> None:
    common = {"conversation_id": TEA, "change": 5}
    new = message()
    assert frames.change(new, "message.new") == {
        "type": "message.new", **common, "seq": 3, "data": frames.message(new),
    }  # fmt: skip
    edited = message(edited_at=AT)
    assert frames.change(edited, "message.edited") == {
        "type": "message.edited", **common, "message_id": ONE, "data": frames.message(edited),
    }  # fmt: skip
    gone = message(content=None, deleted_at=AT, deleted_by=UserId(2))
    assert frames.change(gone, "message.deleted") == {
        "type": "message.deleted", **common, "message_id": ONE, "deleted_by": 2, "deleted_at": AT,
        "data": frames.message(gone),
    }  # fmt: skip
    told = {"event": "participant.added", "user_id": 7, "name": "Dee", "role": "member", "by": 1}
    came = message(message_type="system", metadata=told)
    assert frames.change(came, "participant.added") == {
        "type": "participant.added", **common, "seq": 3, "user_id": 7, "name": "Dee", "role": "member", "by": 1,
        "data": frames.message(came),
    }  # fmt: skip


def test_a_message_is_told_as_what_it_is_to_whoever_hears_of_it() -> None:
    system = {"message_type": "system", "metadata": {"event": "participant.removed"}}
    for told, fresh, event in (
        (message(), True, "message.new"),
        (message(edited_at=AT), False, "message.edited"),
        (message(edited_at=AT), True, "message.new"),
        (message(content=None, deleted_at=AT), True, "message.deleted"),
        (message(**system), True, "participant.removed"),
        (message(metadata={"event": "participant.removed"}), True, "message.new"),  # anybody may write that
        (message(message_type="system", metadata={"event": 7}), True, "message.new"),
    ):
        assert frames.event_of(told, fresh=fresh) == event


def test_everybody_is_told_of_a_conversation_without_what_is_only_ones_own() -> None:
    tea = Conversation(TEA, "group", "Tea", {}, UserId(1), AT, AT, "joined", 2, 9, 12, 4, "member", 3)
    shared, own = frames.conversation(tea), frames.own_conversation(tea)
    assert "my_role" not in shared
    assert own == {**shared, "first_seq": 4, "my_role": "member"}
    assert (shared["first_seq"], shared["last_seq"], shared["last_change"]) == (1, 9, 12)


def test_message_sent_names_the_client_id_and_a_duplicate_only_where_there_is_one() -> None:
    plain = frames.sent(Sent(message(), duplicate=False))
    assert not {"client_id", "duplicate"} & plain.keys()
    again = frames.sent(Sent(message(client_id="c"), duplicate=True))
    assert (again["client_id"], again["duplicate"]) == ("c", True)


def test_as_many_messages_as_fit_are_kept() -> None:
    page = [message(content="x" * 1000) for _ in range(5)]
    one = len(frames.encode(frames.message(page[0]))) + 1
    assert frames.fitting(page, one * 3) == (page[:3], one * 3)
    assert frames.fitting(page, one * 3 - 1) == (page[:2], one * 2)
    assert frames.fitting(page, 0) == ([], 0)
    assert frames.fitting(page, 0, fewest=1) == (page[:1], one)


def test_an_error_says_only_what_there_is_to_say() -> None:
    assert frames.error(InvalidFrame("x is wrong", field="x")) == {
        "type": "error", "code": "invalid_frame", "message": "x is wrong", "field": "x",
    }  # fmt: skip
    assert frames.error(Unauthorized("revoked"))["reason"] == "revoked"
    assert frames.error(RateLimited(retry_after_s=0.5))["retry_after_s"] == 0.5


def test_texts_are_found_again_in_frames_one_behind_the_other() -> None:
    texts = [b"{}", b"x" * 125, b"x" * 126, b"x" * 65535, b"x" * 65536, b""]
    data = b"".join(frames.ping_frame() + frames.text_frame(text) + frames.close_frame(1000, "bye") for text in texts)
    assert list(frames.texts_of(data)) == texts
