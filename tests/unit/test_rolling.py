"""What `messenger bench rolling` would tell of a daemon that loses, repeats or forgets: it is the judge, so it is judged here."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from messenger.bench import command
from messenger.bench.device import Device
from messenger.bench.rolling import Entry, Requests, judged
from messenger.bench.scenarios import Row
from messenger.cli import main
from messenger.domain.ids import UserId

ANN, TEA = UserId(1), "tea"


@pytest.fixture
async def ann() -> AsyncIterator[Device]:
    """Ann's device, which never was connected: frames are read to it."""
    async with aiohttp.ClientSession() as session:
        yield Device(ANN, [TEA], session, "http://127.0.0.1/ws/me", str)


async def read_to(device: Device, *frames: dict[str, Any]) -> None:
    for frame in frames:
        await device._hear(frame)


def hello(epoch: str = "e") -> dict[str, Any]:
    return {"type": "system", "event": "connected", "epoch": epoch}


def caught_up(*changes: int, reset: bool = False, more: bool = False) -> dict[str, Any]:
    told = {
        "conversation_id": TEA,
        "changes": [{"id": f"m{change}", "change": change} for change in changes],
        "last_change": max(changes, default=0),
        "more": False,
        "reset": reset,
    }
    return {"type": "sync", "conversations": [told] if changes else [], "more": more}


def new(change: int, **more: Any) -> dict[str, Any]:
    return {"type": "message.new", "conversation_id": TEA, "change": change, "data": {"id": f"m{change}"}, **more}


def sent(client_id: str, change: int, **more: Any) -> dict[str, Any]:
    return {"type": "message.sent", "conversation_id": TEA, "client_id": client_id, "change": change, **more}


def verdict(device: Device, *stored: tuple[int, str], requests: Requests | None = None) -> Row:
    log = {change: Entry(f"m{change}", ANN, client_id) for change, client_id in stored}
    return judged("case", [device], {TEA: log}, requests or Requests(), [])


async def test_a_whole_log_is_well(ann: Device) -> None:
    await read_to(ann, hello(), caught_up(1, 2), new(3))
    row = verdict(ann, (1, "a"), (2, "b"), (3, "c"))
    assert (row.wrong, ann.held) == ([], {TEA: {1: "m1", 2: "m2", 3: "m3"}})


async def test_what_was_never_told_is_lost(ann: Device) -> None:
    await read_to(ann, hello(), caught_up(1))
    assert verdict(ann, (1, "a"), (2, "b")).wrong == ["1 lost"]


async def test_what_was_told_and_is_not_stored_is_lost_too(ann: Device) -> None:
    await read_to(ann, hello(), caught_up(1, 2))
    assert verdict(ann, (1, "a")).wrong == ["1 lost"]


async def test_an_acknowledged_message_that_is_not_stored_is_lost(ann: Device) -> None:
    await read_to(ann, hello(), caught_up())
    await ann.say(TEA, "a", "Tea?")
    await read_to(ann, sent("a", 1))
    assert verdict(ann).wrong == ["1 lost"]
    assert verdict(ann, requests=Requests(sent={"b"})).wrong == ["2 lost"]


async def test_a_change_that_is_pushed_twice_is_doubled(ann: Device) -> None:
    await read_to(ann, hello(), caught_up(1), new(2), new(2))
    assert verdict(ann, (1, "a"), (2, "b")).wrong == ["1 doubled"]


async def test_a_message_that_is_stored_twice_is_doubled(ann: Device) -> None:
    await read_to(ann, hello(), caught_up(1, 2))
    assert verdict(ann, (1, "a"), (2, "a")).wrong == ["1 doubled"]


async def test_what_is_pushed_while_it_catches_up_is_applied_behind_it_and_once(ann: Device) -> None:
    await read_to(ann, hello(), new(2), new(3), caught_up(1, 2))
    assert verdict(ann, (1, "a"), (2, "b"), (3, "c")).wrong == []


async def test_what_has_to_be_asked_for_came_late(ann: Device) -> None:
    await read_to(ann, hello(), caught_up(1), new(2), new(4))
    assert not ann.is_in
    await read_to(ann, caught_up(3))
    assert ann.held[TEA] == {1: "m1", 2: "m2", 3: "m3", 4: "m4"}
    assert verdict(ann, (1, "a"), (2, "b"), (3, "c"), (4, "d")).wrong == ["1 late"]


async def test_another_epoch_begins_anew(ann: Device) -> None:
    await read_to(ann, hello(), caught_up(1, 2), hello("another"), caught_up(1))
    assert verdict(ann, (1, "a")).wrong == []


async def test_who_was_far_behind_begins_with_the_newest_page_and_misses_nothing_from_there_on(ann: Device) -> None:
    pushed = new(1001), new(1002), new(1003)
    await read_to(ann, hello(), caught_up(1), hello(), *pushed, caught_up(1002, 1003, reset=True), new(1004))
    stored = [(change, f"c{change}") for change in range(1, 1006)]
    assert verdict(ann, *stored[:1004]).wrong == []
    assert verdict(ann, *stored).wrong == ["1 lost"]


async def test_who_has_to_begin_anew_without_being_far_behind_is_told(ann: Device) -> None:
    await read_to(ann, hello(), caught_up(1), hello(), caught_up(1001, reset=True))
    assert verdict(ann, (1, "a"), (1001, "b")).wrong == ["1 needless resets"]


async def test_what_is_never_acknowledged_is_told(ann: Device) -> None:
    await read_to(ann, hello(), caught_up())
    await ann.say(TEA, "a", "Tea?")
    assert verdict(ann).wrong == ["1 unanswered"]
    await read_to(ann, sent("a", 1, duplicate=True), new(1))
    row = verdict(ann, (1, "a"))
    assert (row.wrong, row.figures["resent"]) == ([], 1)


async def test_who_is_not_in_is_told(ann: Device) -> None:
    await read_to(ann, hello())
    assert verdict(ann).wrong == ["1 devices are not back; sockets ended as {}"]


async def test_requests_that_failed_are_told(ann: Device) -> None:
    await read_to(ann, hello(), caught_up())
    requests = Requests()
    requests.failed["GET 502"] += 3
    assert verdict(ann, requests=requests).wrong == ["3 requests failed: GET 502"]


def test_without_nginx_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "program", lambda: None)
    result = CliRunner().invoke(main, ["bench", "rolling"])
    assert result.exit_code == 2
    assert result.output == "messenger: rolling needs nginx on the PATH (Debian: apt install nginx-light)\n"
