"""What an import calls: the owner's alone, once each, and one at a time."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import asyncpg

from tests.support.database import PASSWORD, Database
from tests.support.scene import ANN, BEN, BLOCK, CYD, SAY, Scene, failed, refusal


async def test_a_second_import_waits_for_the_first_and_finds_its_messages(own_scene: Scene) -> None:
    first, second = [await asyncpg.connect(own_scene.database.owner_url) for _ in range(2)]
    try:
        transaction = first.transaction()
        await transaction.start()
        assert await brought(first, own_scene.tea, said(1), said(2)) == 2
        waiting = asyncio.create_task(brought(second, own_scene.tea, said(1), said(2), said(3)))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await transaction.commit()
        assert await waiting == 1
    finally:
        await first.close()
        await second.close()


async def test_who_is_no_owner_himself_may_not_import(database: Database) -> None:
    """Neither by the application role, nor as another one that may become the owner."""
    owner = database.servers.owner
    await database.servers.execute(
        f"""
        do $$ begin
            if not exists (select from pg_roles where rolname = 'messenger_test_deputy') then
                create role messenger_test_deputy login password '{PASSWORD}' in role {owner};
            end if;
        end $$
        """
    )
    deputy = await asyncpg.connect(database.owner_url.replace(f"{owner}:", "messenger_test_deputy:"))
    himself = await asyncpg.connect(database.owner_url)
    try:
        assert await deputy.fetchval("select messenger.may_import()") is False
        assert await himself.fetchval("select messenger.may_import()") is True
    finally:
        await deputy.close()
        await himself.close()


async def test_the_word_that_an_import_says_counts_from_its_mouth_only(own_scene: Scene) -> None:
    """Ann says it too, and is judged all the same."""
    await own_scene.act(BEN, BLOCK, ANN)
    async with own_scene.database.as_user(ANN) as connection:
        await connection.execute("select set_config('messenger.importing', 'on', true)")
        told = await refusal(connection, SAY, own_scene.pair, uuid4(), "Are you there?")
    assert told == failed("forbidden", "You cannot write to this user")


async def test_what_one_has_read_is_read_and_what_one_has_not_is_not(own_scene: Scene) -> None:
    """Ann is up to date before a page, and after it. Ben is not, and nothing is read for him."""
    owner = await asyncpg.connect(own_scene.database.owner_url)
    try:
        newest = await owner.fetchrow(
            "select id, seq from messenger.messages where conversation_id = $1 order by seq desc limit 1", own_scene.tea
        )
        await owner.execute("delete from messenger.read_receipts where conversation_id = $1", own_scene.tea)
        await owner.execute(
            "insert into messenger.read_receipts (conversation_id, user_id, message_id, last_read_seq) values ($1, $2, $3, $4)",
            own_scene.tea,
            ANN,
            newest["id"],
            newest["seq"],
        )
        await brought(owner, own_scene.tea, said(1, CYD), said(2, CYD))
        rows = await owner.fetch(
            "select user_id, last_read_seq from messenger.read_receipts where conversation_id = $1", own_scene.tea
        )
        assert {row["user_id"]: row["last_read_seq"] for row in rows}.get(ANN) == newest["seq"] + 2
        assert BEN not in {row["user_id"] for row in rows}
    finally:
        await owner.close()


async def test_what_failed_is_kept_with_its_page_until_it_comes(own_scene: Scene) -> None:
    owner = await asyncpg.connect(own_scene.database.owner_url)

    async def kept() -> dict[int, str]:
        rows = await owner.fetch(
            "select vendor_id, reason from messenger.missing_messages where conversation_id = $1", own_scene.tea
        )
        return {row["vendor_id"]: row["reason"] for row in rows}

    try:
        failed = json.dumps([{"vendor_id": 2, "reason": "no time"}, {"vendor_id": 3, "reason": "no time"}])
        call = "select brought from messenger.import_messages($1, $2, $3)"
        assert await owner.fetchval(call, own_scene.tea, json.dumps([said(1)]), failed) == 1
        assert await kept() == {2: "no time", 3: "no time"}
        another = json.dumps([{"vendor_id": 3, "reason": "of an unknown type"}])
        assert await owner.fetchval(call, own_scene.tea, json.dumps([said(2)]), another) == 1
        assert await kept() == {3: "of an unknown type"}
        await owner.execute("delete from messenger.conversations where id = $1", own_scene.tea)
        assert await kept() == {}
    finally:
        await owner.close()


def said(vendor_id: int, sender_id: int = ANN) -> dict[str, Any]:
    return {
        "vendor_id": vendor_id,
        "sender_id": sender_id,
        "message_type": "text",
        "content": f"Number {vendor_id}",
        "metadata": {},
        "mentions": [],
        "parent": None,
        "created_at": "2020-01-01T00:00:00Z",
        "edited_at": None,
        "reactions": [],
        "files": [],
    }


async def brought(connection: asyncpg.Connection, conversation_id: Any, *messages: dict[str, Any]) -> int:
    found: int = await connection.fetchval(
        "select brought from messenger.import_messages($1, $2, '[]')", conversation_id, json.dumps(messages)
    )
    return found
