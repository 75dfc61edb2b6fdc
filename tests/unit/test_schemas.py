"""How frames and bodies are checked: strictly, with the field that is wrong, and nothing ever changed silently."""

import math
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import Schema

from messenger.errors import InvalidConversationId, InvalidFrame, InvalidJson, InvalidMessageId, MessengerError
from messenger.protocol import commands, schemas

# A busy machine is no failure.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEA = "01890000-0000-7000-8000-00000000abcd"
SEND = {"conversation_id": TEA, "content": "Milk?"}
NOT_A_TEXT = [None, 7, 1.5, True, [], {}, ["x"]]
NOT_A_UUID = [
    "", "x", TEA[:-1], TEA + "0", TEA.replace("-", ""), "{" + TEA + "}", "urn:uuid:" + TEA, TEA + "\n",
    " " + TEA, TEA.replace("a", "g"), TEA.replace("0", "０"), TEA.replace("-", "_"), 7, None, True, [TEA], {},
]  # fmt: skip
UNSTORABLE = ["\x00", "a\x00b", "\ud800", "x\udfff", "\udc00\ud800"]


def refused(schema: Schema, frame: dict[str, Any]) -> MessengerError:
    with pytest.raises(MessengerError) as error:
        schemas.load(schema, frame)
    return error.value


def refused_field(schema: Schema, frame: dict[str, Any]) -> str | None:
    error = refused(schema, frame)
    assert type(error) is InvalidFrame
    assert error.field is not None
    assert error.message.startswith(error.field)
    return error.field


def test_a_message_is_read_with_the_defaults_of_the_contract() -> None:
    assert schemas.load(schemas.Send(), SEND) == commands.Send("Milk?", "text", None, None, (), (), {}, UUID(TEA))


def test_unknown_fields_are_ignored() -> None:
    more = {**SEND, "type": "message.send", "ref": "r", "sender_id": 7, "seq": 1, "\x00": "\x00"}
    assert schemas.load(schemas.Send(), more) == schemas.load(schemas.Send(), SEND)
    attachment = {"url": "/a", "onclick": "x"}
    read = schemas.load(schemas.Send(), {**SEND, "attachments": [attachment]})
    assert read.attachments == ({"url": "/a"},)


@pytest.mark.parametrize("value", NOT_A_UUID, ids=ascii)
def test_only_the_canonical_form_of_a_uuid_is_one(value: Any) -> None:
    error = refused(schemas.OfConversation(), {"conversation_id": value})
    assert (type(error), error.field) == (InvalidConversationId, "conversation_id")
    error = refused(schemas.OfMessage(), {"message_id": value})
    assert (type(error), error.field) == (InvalidMessageId, "message_id")
    if value is not None:
        assert refused_field(schemas.Send(), {**SEND, "reply_to": value}) == "reply_to"
    if isinstance(value, str):
        error = refused(schemas.Sync(), {"cursors": {value: 1}})
        assert (type(error), error.field) == (InvalidConversationId, "cursors")


def test_a_uuid_may_be_written_in_capitals() -> None:
    assert schemas.load(schemas.OfMessage(), {"message_id": TEA.upper()}).message_id == UUID(TEA)


def test_a_missing_id_is_told_as_that_id() -> None:
    assert isinstance(refused(schemas.Send(), {"content": "x"}), InvalidConversationId)
    assert isinstance(refused(schemas.Edit(), {"content": "x"}), InvalidMessageId)


@pytest.mark.parametrize("value", NOT_A_TEXT, ids=repr)
def test_what_is_no_text_is_none(value: Any) -> None:
    assert refused_field(schemas.Send(), {**SEND, "content": value}) == "content"
    assert refused_field(schemas.Send(), {**SEND, "message_type": value}) == "message_type"
    if value is not None:
        assert refused_field(schemas.Send(), {**SEND, "client_id": value}) == "client_id"


@pytest.mark.parametrize("text", UNSTORABLE, ids=ascii)
@pytest.mark.parametrize(
    ("schema", "field", "wrap"),
    [
        (schemas.Send(), "content", lambda text: text),
        (schemas.Send(), "message_type", lambda text: text),
        (schemas.Send(), "client_id", lambda text: text),
        (schemas.Send(), "metadata", lambda text: {text: 1}),
        (schemas.Send(), "metadata", lambda text: {"a": [{"b": text}]}),
        (schemas.Send(), "attachments", lambda text: [{"url": "/" + text}]),
        (schemas.Send(), "attachments", lambda text: [{"url": "/a", "name": text}]),
        (schemas.Send(), "attachments", lambda text: [{"url": "/a", "mime_type": text}]),
        (schemas.UpdateConversation(), "title", lambda text: text),
        (schemas.CreateConversation(), "title", lambda text: text),
        (schemas.Refresh(), "token", lambda text: text),
    ],
)
def test_nul_and_lone_surrogates_are_refused_with_the_field(schema: Schema, field: str, wrap: Any, text: str) -> None:
    good = {**SEND, "type": "group", "participant_ids": [], "token": "x"}
    assert refused_field(schema, {**good, field: wrap(text)}) == field


@PATIENT
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_any_other_text_comes_out_as_it_went_in(text: str) -> None:
    assert schemas.load(schemas.EditBody(), {"content": text}).content == text


@pytest.mark.parametrize("value", [1.0, 0.5, True, False, "1", "", [1], {}, -1, 2**53, 10**30, math.inf], ids=repr)
def test_only_an_integer_within_bounds_is_one(value: Any) -> None:
    assert refused_field(schemas.ReadHistory(), {"conversation_id": TEA, "before_seq": value}) == "before_seq"
    assert refused_field(schemas.ReadHistory(), {"conversation_id": TEA, "limit": value}) == "limit"
    assert refused_field(schemas.Presence(), {"user_ids": [1, value]}) == "user_ids"
    assert refused_field(schemas.Sync(), {"cursors": {TEA: value}}) == "cursors"
    assert refused_field(schemas.Send(), {**SEND, "mentions": [value]}) == "mentions"
    assert refused_field(schemas.Send(), {**SEND, "attachments": [{"url": "/a", "size": value}]}) == "attachments"


@pytest.mark.parametrize(("asked", "given_"), [(1, 1), (50, 50), (200, 200), (201, 200), (2**53 - 1, 200)])
def test_a_limit_above_200_is_200(asked: int, given_: int) -> None:
    assert schemas.load(schemas.ReadHistory(), {"conversation_id": TEA, "limit": asked}).limit == given_
    assert schemas.load(schemas.Sync(), {"cursors": {}, "limit": asked}).limit == given_


def test_a_limit_below_1_is_refused_and_an_absent_one_has_its_default() -> None:
    assert refused_field(schemas.Sync(), {"cursors": {}, "limit": 0}) == "limit"
    assert schemas.load(schemas.ReadHistory(), {"conversation_id": TEA}).limit == 50
    assert schemas.load(schemas.Sync(), {"cursors": {}}).limit == 200


@pytest.mark.parametrize("value", [1, 0, 1.0, "true", "", None, []], ids=repr)
def test_only_true_and_false_are_booleans(value: Any) -> None:
    assert refused_field(schemas.Typing(), {"conversation_id": TEA, "is_typing": value}) == "is_typing"


@pytest.mark.parametrize(
    "url",
    [
        "", "javascript:alert(1)", "JavaScript:alert(1)", " javascript:alert(1)", "java\nscript:x", "data:text/html,x",
        "vbscript:x", "file:///etc/passwd", "ftp://example.org/", "//evil.example/x", "relative", "http:/x", "https:",
        "https://", "/", "https://example.org/a b", "https://example.org/\n", "/a\n", "x" * 2048, "/" + "x" * 2048,
    ],
    ids=lambda url: ascii(url)[:30],
)  # fmt: skip
def test_an_attachment_that_a_browser_might_run_is_refused(url: str) -> None:
    assert refused_field(schemas.Send(), {**SEND, "attachments": [{"url": url}]}) == "attachments"


@pytest.mark.parametrize("url", ["https://example.org/a?b=c#d", "http://x", "/files/1", "/ä", "/" + "x" * 2047])
def test_an_address_or_a_path_is_an_attachment(url: str) -> None:
    whole = {"url": url, "name": "Ä", "size": 0, "mime_type": "image/png"}
    assert schemas.load(schemas.Send(), {**SEND, "attachments": [whole]}).attachments == (whole,)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attachments", [{"url": "/a"}] * 11),
        ("attachments", [{}]),
        ("attachments", ["/a"]),
        ("attachments", {"url": "/a"}),
        ("attachments", None),
        ("mentions", list(range(1, 102))),
        ("mentions", 7),
        ("mentions", None),
        ("client_id", ""),
        ("client_id", "x" * 65),
        ("message_type", ""),
        ("message_type", "x" * 65),
        ("metadata", None),
        ("metadata", []),
        ("metadata", {"a": "x" * 65536}),
        ("metadata", {str(number): 1e308 for number in range(300)}),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_each_field_of_a_message_has_its_bounds(field: str, value: Any) -> None:
    assert refused_field(schemas.Send(), {**SEND, field: value}) == field


def test_metadata_may_be_nested_so_deep_and_no_deeper() -> None:
    def nested(depth: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for _ in range(depth - 1):
            value = {"a": value}
        return value

    assert schemas.load(schemas.Send(), {**SEND, "metadata": nested(15)}).metadata == nested(15)
    assert refused_field(schemas.Send(), {**SEND, "metadata": nested(17)}) == "metadata"


def test_ids_are_kept_once_and_in_order() -> None:
    assert schemas.load(schemas.Presence(), {"user_ids": [3, 1, 3, 2, 1]}).user_ids == (3, 1, 2)


def test_what_is_absent_from_an_update_stays_and_a_title_of_null_goes() -> None:
    def update(**body: Any) -> Any:
        return schemas.load(schemas.UpdateConversation(), body)

    assert update(title=None) == commands.UpdateConversation(title=None, set_title=True)
    assert update(metadata={"a": 1}) == commands.UpdateConversation(metadata={"a": 1})
    assert refused_field(schemas.UpdateConversation(), {}) == "title"
    assert refused_field(schemas.UpdateConversation(), {"colour": "green"}) == "title"
    assert refused_field(schemas.UpdateConversation(), {"metadata": None}) == "metadata"
    assert refused_field(schemas.UpdateConversation(), {"title": "x" * 201}) == "title"


@pytest.mark.parametrize("kind", ["room", "Direct", "", None, 7])
def test_a_conversation_is_direct_a_group_or_an_announcement(kind: Any) -> None:
    assert refused_field(schemas.CreateConversation(), {"type": kind, "participant_ids": [2]}) == "type"


@pytest.mark.parametrize(
    "data",
    [
        "", " ", "{", "{}x", "{'a':1}", '{"a":NaN}', '{"a":Infinity}', '{"a":-Infinity}', '{"a":1e999}', '{"a":01}',
        '{"a":"\n"}', "[" * 100_000, b'{"a":"\xff"}', b"\xff", '{"a":1}'.encode("utf-16"), '{"a":1}'.encode("utf-32"),
        b'{"a":"\xed\xa0\x80"}',
    ],
    ids=lambda data: ascii(data)[:20],
)  # fmt: skip
def test_what_is_no_json_is_told_so(data: str | bytes) -> None:
    with pytest.raises(InvalidJson, match="Invalid JSON format"):
        schemas.parse(data)


@pytest.mark.parametrize("data", ["[]", "7", '"x"', "null", "true", "[{}]"])
def test_json_that_is_no_object_is_an_invalid_frame(data: str) -> None:
    with pytest.raises(InvalidFrame):
        schemas.parse(data)


def test_a_lone_surrogate_gets_past_the_parser_so_that_its_field_can_be_named() -> None:
    parsed = schemas.parse('{"content":"\\ud800","n":18446744073709551616}')
    assert parsed == {"content": "\ud800", "n": 18446744073709551616.0}
    assert refused_field(schemas.EditBody(), parsed) == "content"


@pytest.mark.parametrize("ref", [7, True, [], {}, "x" * 65, "\x00", "\ud800"], ids=ascii)
def test_a_ref_is_a_short_text(ref: Any) -> None:
    with pytest.raises(InvalidFrame) as error:
        schemas.ref_of({"ref": ref})
    assert error.value.field == "ref"
    assert (schemas.ref_of({}), schemas.ref_of({"ref": None}), schemas.ref_of({"ref": "x" * 64})) == (
        None,
        None,
        "x" * 64,
    )


@pytest.mark.parametrize("kind", [None, 7, [], {}, "a\x00", "\udfff"], ids=ascii)
def test_a_type_is_a_text(kind: Any) -> None:
    with pytest.raises(InvalidFrame) as error:
        schemas.type_of({"type": kind})
    assert error.value.field == "type"
    assert schemas.type_of({"type": "ping"}) == "ping"
