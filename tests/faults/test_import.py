"""An import that is killed, starved or lied to ends, once it has come through, as one that was not."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from messenger.chat_service.platform import REPEATS
from tests.support.command import begun
from tests.support.database import Database, Servers
from tests.support.importing import Move, moving
from tests.support.vendor import Vendor

CHANNELS, MESSAGES, FILES = 3, 450, 5


@pytest.fixture
async def move(database: Database, tmp_path: Path) -> AsyncIterator[Move]:
    async with moving(database, tmp_path / "disturbed") as move:
        furnish(move.vendor)
        yield move


@pytest.fixture
async def undisturbed(move: Move, servers: Servers, template: str, tmp_path: Path) -> AsyncIterator[Move]:
    """The same into a database of its own, where nothing goes wrong."""
    name = f"messenger_test_{secrets.token_hex(6)}"
    await servers.execute(f'create database "{name}" template "{template}"')
    calm = replace(move, database=Database(servers, name), folder=tmp_path / "undisturbed")
    told = await calm.run()
    assert told.code == 0, told.out
    yield calm
    await servers.execute(f'drop database "{name}" with (force)')


def furnish(vendor: Vendor) -> None:
    people = [f"user {number}" for number in range(12)]
    for person in people:
        vendor.add_user(person, person.title())
    for number in range(CHANNELS):
        url = f"channel-{number}"
        vendor.add_channel(url, people[number : number + 8], url.title())
        first = 0
        for place in range(MESSAGES):
            sender = people[(place + number) % 12]
            message = vendor.add_message(
                url,
                sender,
                f"{place} in {url}",
                parent_message_id=first if place % 7 == 3 else 0,
                reactions=[{"key": "👍", "user_ids": [people[place % 12]]}] if place % 5 == 0 else [],
            )
            first = first or message["message_id"]
        for place in range(FILES):
            content = f"File {place} of {url}".encode()
            address = vendor.add_file(f"{url}/{place}.txt", content, "text/plain")
            file = {"url": address, "name": f"{place}.txt", "type": "text/plain", "size": len(content)}
            vendor.add_message(url, people[number], type="FILE", file=file)


async def same(move: Move, undisturbed: Move) -> None:
    """Row by row, and file by file."""
    here, there = await move.all_of_it(), await undisturbed.all_of_it()
    for table in there:
        assert here[table] == there[table], table
    assert len(there["messages"]) == CHANNELS * (MESSAGES + FILES)
    assert len(there["attachments"]) == CHANNELS * FILES
    assert move.files() == undisturbed.files()


async def until(seen: Callable[[], bool], process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60):
        while not seen():
            assert process.returncode is None, "it was through before"
            await asyncio.sleep(0.001)


def pages(vendor: Vendor) -> int:
    return sum(path.endswith("/messages") for _, path, _ in vendor.requests)


def downloads(vendor: Vendor) -> int:
    return sum(path.startswith("/files/") for _, path, _ in vendor.requests)


async def test_killed_at_any_moment_it_goes_on_where_it_was(move: Move, undisturbed: Move) -> None:
    """While it reads people, at pages of messages, and at files; the kernel asks nobody."""
    moments: list[Callable[[Vendor], bool]] = [
        lambda vendor: any(path.endswith("/members") for _, path, _ in vendor.requests),
        lambda vendor: pages(vendor) >= 4,
        lambda vendor: pages(vendor) >= 7,
        lambda vendor: downloads(vendor) >= 3,
    ]
    brought = []
    for moment in moments:
        move.vendor.requests.clear()
        async with begun(*move.args, **move.settings) as process:
            await until(lambda moment=moment: moment(move.vendor), process)  # type: ignore[misc]
            process.kill()
            assert await process.wait() == -signal.SIGKILL
        brought.append(len((await move.all_of_it())["messages"]))
    assert brought == sorted(brought)
    assert 0 < brought[2] < CHANNELS * (MESSAGES + FILES)
    told = await move.run()
    assert told.code == 0, told.out
    await same(move, undisturbed)


async def test_stopped_it_says_that_it_can_go_on(move: Move, undisturbed: Move) -> None:
    move.vendor.requests.clear()
    async with begun(*move.args, **move.settings) as process:
        await until(lambda: pages(move.vendor) >= 3, process)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == 1
    assert out.decode().splitlines()[-1] == "Ended early: it was stopped. Run it again: it goes on where it ended."
    assert b"Traceback" not in err
    assert (await move.run()).code == 0
    await same(move, undisturbed)


async def test_a_vendor_that_stumbles_and_limits_is_waited_for(move: Move, undisturbed: Move) -> None:
    vendor = move.vendor
    vendor.requests.clear()
    vendor.limit(6, 0.3)
    async with begun(*move.args, **move.settings) as process:
        for number, seen in enumerate((2, 6, 9)):
            await until(lambda seen=seen: len(vendor.requests) >= seen, process)  # type: ignore[misc]
            # An error, a connection that is cut, and more than one request waits for.
            vendor.fail_next((2, 2, 4 * CHANNELS)[number], status=(500, 0, 503)[number])
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    assert vendor.refused
    await same(move, undisturbed)


async def test_a_named_channel_is_waited_for_as_the_others_are(move: Move) -> None:
    """Longer than one request waits by itself."""
    vendor = move.vendor
    path = "/group_channels/channel-1"
    vendor.refuse(path, 503, 500901)
    async with begun(*move.args, "--channels", "channel-1", **move.settings) as process:
        await until(lambda: sum(asked == f"/v3{path}" for _, asked, _ in vendor.requests) > REPEATS, process)
        vendor._refusals.clear()
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    assert len((await move.all_of_it())["messages"]) == MESSAGES + FILES


async def test_what_the_vendor_keeps_back_is_told_and_the_rest_comes(move: Move, undisturbed: Move) -> None:
    vendor = move.vendor
    vendor.refuse("/group_channels/channel-1/messages", 400, 400108)
    told = await move.run()
    assert (told.code, told.out.splitlines()[-2:]) == (
        1,
        ["Did not come over:", "  channel channel-1: the vendor did not give it out (Refused.)"],
    )
    assert len((await move.all_of_it())["messages"]) == (CHANNELS - 1) * (MESSAGES + FILES)
    vendor._refusals.clear()
    assert (await move.run()).code == 0
    await same(move, undisturbed)


async def test_a_database_that_cuts_connections_is_tried_again(move: Move, undisturbed: Move) -> None:
    admin = await asyncpg.connect(move.database.admin_url)
    move.vendor.requests.clear()
    cut = 0
    async with AsyncExitStack() as stack:
        stack.push_async_callback(admin.close)
        process = await stack.enter_async_context(begun(*move.args, **move.settings))
        await until(lambda: pages(move.vendor) >= 3, process)
        while process.returncode is None and cut < 10:
            rows = await admin.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()",
                move.database.name,
            )
            cut += len(rows)
            await asyncio.sleep(0.02)
        out, _ = await process.communicate()
    assert cut
    assert process.returncode == 0, out.decode()
    await same(move, undisturbed)


async def test_two_at_once_bring_everything_once(move: Move, undisturbed: Move) -> None:
    for told in await asyncio.gather(move.run(), move.run()):
        assert told.code == 0, told.out
    await same(move, undisturbed)
