"""Filling a database of our own with messages, faster than anybody could write them."""

from collections.abc import Callable

import asyncpg

CHUNK = 100_000
_FILL = """
insert into messenger.messages (conversation_id, id, seq, change, sender_id, client_id, request_digest, content)
select $1, gen_random_uuid(), n, n, $2, 'f' || n, '\\x00', 'It was the best of times, it was the worst of times. ' || n
from generate_series($3::bigint, $4::bigint) as n
"""
_HEAD = "update messenger.conversation_heads set last_seq = $2, last_change = $2 where conversation_id = $1"
_READ = """
insert into messenger.read_receipts (conversation_id, user_id, message_id, last_read_seq)
select conversation_id, $2, id, seq from messenger.messages where conversation_id = $1 and seq = $3
on conflict (conversation_id, user_id) do update set message_id = excluded.message_id, last_read_seq = excluded.last_read_seq
"""


async def fill(
    admin_url: str, conversation_id: str, user_id: int, size: int, progress: Callable[[float], None]
) -> None:
    """Let a conversation have `size` messages, all but the last 50 of which its user has read."""
    connection = await asyncpg.connect(admin_url)
    try:
        # Without triggers: they number one message after another, and look after what is sound here anyway.
        await connection.execute("set session_replication_role = replica")
        number = await connection.fetchval(
            "select last_seq from messenger.conversation_heads where conversation_id = $1", conversation_id
        )
        began = number
        while number < size:
            progress((number - began) / (size - began))
            upto = min(number + CHUNK, size)
            await connection.execute(_FILL, conversation_id, user_id, number + 1, upto)
            number = upto
        await connection.execute(_HEAD, conversation_id, size)
        await connection.execute(_READ, conversation_id, user_id, size - 50)
        await connection.execute("vacuum analyze messenger.messages")
    finally:
        await connection.close()
