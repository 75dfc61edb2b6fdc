"""Nodes are upgraded one after another: code of the level before runs on the newest schema, beside the newest code."""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any

import asyncpg
import pytest

from messenger.store import migrate as migrations
from messenger.store.migrate import Step, migrate, numbered, repeatable
from tests.support.daemon import Daemon, daemon, environment
from tests.support.database import Database
from tests.support.log import Logs, stored
from tests.support.people import Phone
from tests.support.reachable import SECRET

ROOT = Path(__file__).parents[2]
MIGRATIONS = "sql/migrations"
ANN, BEN, CYD = 1, 2, 3
# Code from before this level refuses to start on a database that is ahead: none is started again here before 0009 comes, and until
# then the last test of this file stands for it.
STARTS_AHEAD = 8
CALLABLE = """
    select p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ') ' || pg_get_function_result(p.oid)
    from pg_proc p where p.pronamespace = 'messenger'::regnamespace and has_function_privilege('messenger_app', p.oid, 'execute')
"""


@dataclass(frozen=True)
class OldCode:
    """A tree of an earlier commit, run with the packages that are installed here."""

    folder: Path
    level: int

    @property
    def first(self) -> str:
        """Python by which a process takes its code and not ours."""
        return f"import sys; sys.path.insert(0, {str(self.folder)!r})"

    async def migrate(self, database: Database) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", f"{self.first}; from messenger.cli import main; main()", "migrate"),
            env=environment({"migrate_database_url": database.owner_url}),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await process.communicate()
        assert process.returncode == 0, told.decode()
        return told.decode()


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> OldCode:
    """The last commit before the newest migration came; the latest one while it is not committed yet."""
    newest = numbered()[-1]
    try:
        assert Path(git("rev-parse", "--show-toplevel")).samefile(ROOT)
        assert git("rev-parse", "--is-shallow-repository") == "false"
        came = git(
            "log", "--diff-filter=A", "--format=%H", "-1", "--", f"{MIGRATIONS}/{newest.version:04d}_{newest.name}.sql"
        )
        commit = git("rev-parse", f"{came}^" if came else "HEAD")
    except (OSError, AssertionError, subprocess.CalledProcessError):
        reason = "there is no history here to take the code of the level before from"
        if os.environ.get("MESSENGER_TEST_REQUIRE_HISTORY"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("old")
    archive = subprocess.run(["git", "archive", commit, "messenger", "sql", "demo"], cwd=ROOT, check=True, stdout=-1)
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    for package in ("sql", "demo"):  # as package_dir in setup.cfg lays them
        (folder / "messenger" / package).symlink_to(folder / package)
    return OldCode(folder, len(list((folder / MIGRATIONS).glob("[0-9]*.sql"))))


@pytest.fixture
async def older(old: OldCode, empty_database: Database) -> AsyncIterator[Database]:
    """A database that the old code migrated."""
    assert f"applied: {old.level:04d} " in await old.migrate(empty_database)
    await empty_database.servers.execute(f"grant messenger_app to {empty_database.servers.login}")
    yield empty_database


def settings_on(database: Database, data_dir: Path) -> dict[str, Any]:
    return {
        "database_url": database.app_url,
        "redis_url": database.servers.redis_url,
        "redis_prefix": f"{database.name}:",
        "jwt_secret": SECRET,
        "data_dir": data_dir,
        "drain_s": 0.2,
    }


async def both_hear(type_: str, conversation_id: str, *phones: Phone) -> None:
    frames = [await phone.hear(type_, conversation_id=conversation_id) for phone in phones]
    assert all(frame == frames[0] for frame in frames), frames


async def talk(tea: str, one: Phone, other: Phone) -> None:
    """All that is said most, from one to the other."""
    assert (await one.ask("subscribe", conversation_id=tea))["type"] == "subscribed"
    assert (await other.ask("subscribe", conversation_id=tea))["type"] == "subscribed"
    await one.say("typing", conversation_id=tea, is_typing=True)
    await other.hear("typing", conversation_id=tea, user_id=one.user_id)
    first = await one.ask("message.send", conversation_id=tea, content="first", client_id=secrets.token_hex(4))
    second = await one.ask("message.send", conversation_id=tea, content="second", client_id=secrets.token_hex(4))
    assert (first["type"], second["type"], second["seq"]) == ("message.sent", "message.sent", first["seq"] + 1)
    for _ in range(2):
        await both_hear("message.new", tea, one, other)
    assert (await other.ask("message.read", message_id=second["message_id"]))["type"] == "read.confirmed"
    await one.hear("message.read", user_id=other.user_id)
    assert (await one.ask("message.edit", message_id=first["message_id"], content="edited"))["type"] == "ack"
    await both_hear("message.edited", tea, one, other)
    assert (await other.ask("reaction.add", message_id=first["message_id"], emoji="👍"))["type"] == "ack"
    await both_hear("reaction.added", tea, one, other)
    assert (await one.ask("message.delete", message_id=second["message_id"]))["type"] == "ack"
    await both_hear("message.deleted", tea, one, other)


async def test_devices_of_old_nodes_and_new_ones_talk_while_nodes_are_upgraded(
    old: OldCode, older: Database, tmp_path: Path
) -> None:
    settings = settings_on(older, tmp_path)
    oracle = await asyncpg.connect(older.admin_url)
    try:
        callable_before = {row[0] for row in await oracle.fetch(CALLABLE)}
        async with daemon(before=old.first, **settings) as before:
            tea = await before.client(ANN).group(BEN)
            await before.client(ANN).send(tea, "before")
            ann = await before.phone(ANN)
            held = Logs(ann)
            await held.catch_up()

            assert [step.version for step in await migrate(older.owner_url)] == [
                *range(old.level + 1, len(numbered()) + 1),
                0,
            ]
            # What old code calls is there, and gives what it gave.
            assert callable_before - {row[0] for row in await oracle.fetch(CALLABLE)} == set()
            async with daemon(**settings) as after:
                ben = await after.phone(BEN)
                assert await who_is_there(ann, BEN) == [BEN]
                assert await who_is_there(ben, ANN) == [ANN]
                await talk(tea, ann, ben)
                await talk(tea, ben, ann)
                assert (await before.client(ANN).post(f"/conversations/{tea}/participants", {"user_ids": [CYD]}))[
                    0
                ] == 201
                await both_hear("participant.added", tea, ann, ben)
                assert (await after.client(CYD).delete(f"/conversations/{tea}/participants/{CYD}"))[0] in (200, 204)
                await both_hear("participant.removed", tea, ann, ben)
                await is_whole(before, oracle, tea)
                await is_whole(after, oracle, tea)

                before.send(SIGTERM)
                assert await ann.closed() == (1012, "draining")
                assert await before.ended() == 0
                await after.client(BEN).send(tea, "while she was away")
                await ben.hear("message.new", conversation_id=tea)
                back = await after.phone(ANN)
                held.reconnect(back)
                await held.catch_up()
                assert held.held(tea) == await stored(oracle, tea)

                if old.level >= STARTS_AHEAD:
                    async with daemon(before=old.first, **settings) as again:
                        assert b"ahead of this messenger" in again.log.read_bytes()
                        await talk(tea, await again.phone(ANN), ben)
    finally:
        await oracle.close()


async def who_is_there(phone: Phone, *user_ids: int) -> list[int]:
    answer = await phone.ask("presence", user_ids=list(user_ids))
    return [user["user_id"] for user in answer["users"] if user["online"]]


async def is_whole(node: Daemon, oracle: asyncpg.Connection, tea: str) -> None:
    """A fresh device there has the log as the table has it."""
    async with node.phone_for_a_while(BEN, device="fresh") as phone:
        fresh = Logs(phone)
        await fresh.catch_up()
        assert fresh.held(tea) == await stored(oracle, tea)


async def test_this_code_starts_on_what_a_next_level_left_behind(
    empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, laid = numbered(), repeatable()
    next_one = Step(
        len(known) + 1,
        "stickers",
        """
        alter table messenger.messages add column sticker text not null default '';
        create table messenger.stickers (id uuid constraint stickers_pk primary key);
        alter table messenger.stickers enable row level security;
        alter table messenger.stickers force row level security;
        """,
    )
    another = Step(
        laid.version, laid.name, f"{laid.sql}\ncreate function messenger.sticker() returns text return 'a cat';"
    )
    with monkeypatch.context() as next_level:
        next_level.setattr(migrations, "numbered", lambda: [*known, next_one])
        next_level.setattr(migrations, "repeatable", lambda: another)
        await migrate(empty_database.owner_url)
    await empty_database.servers.execute(f"grant messenger_app to {empty_database.servers.login}")
    async with daemon(**settings_on(empty_database, tmp_path)) as node:
        assert b"ahead of this messenger" in node.log.read_bytes()
        tea = await node.client(ANN).group(BEN)
        ann, ben = await node.phone(ANN), await node.phone(BEN)
        await talk(tea, ann, ben)
        await talk(tea, ben, ann)
