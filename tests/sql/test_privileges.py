"""Who may do what, read from the catalog: a table or role that comes later is judged here at once."""

import asyncpg
import pytest

from tests.support.scene import ANN, Scene

# Table, privilege, columns: all that the application role may do, and no more.
GRANTED = {
    ("attachment_uses", "SELECT", "*"),
    ("attachments", "SELECT", "*"),
    ("attachments", "INSERT", "id uploaded_by name mime_type size width height has_thumbnail"),
    ("blocks", "SELECT", "*"),
    ("blocks", "DELETE", "*"),
    ("conversation_heads", "SELECT", "*"),
    ("conversation_participants", "SELECT", "*"),
    ("conversations", "SELECT", "*"),
    ("messages", "SELECT", "*"),
    (
        "messages",
        "INSERT",
        "conversation_id id sender_id client_id request_digest message_type content reply_to mentions attachments metadata",
    ),
    ("messages", "UPDATE", "content mentions attachments metadata edited_at deleted_at deleted_by"),
    ("notification_settings", "SELECT", "*"),
    ("notification_settings", "INSERT", "*"),
    ("notification_settings", "UPDATE", "*"),
    ("push_devices", "SELECT", "id user_id endpoint p256dh auth name created_at renewed_at"),
    ("push_devices", "DELETE", "*"),
    ("reactions", "SELECT", "*"),
    ("read_receipts", "SELECT", "*"),
    ("read_receipts", "INSERT", "conversation_id user_id message_id last_read_seq"),
    ("read_receipts", "UPDATE", "message_id last_read_seq read_at"),
    ("users", "SELECT", "id external_id name avatar_url last_seen_at created_at kind public_id"),
}


async def test_every_table_forces_row_level_security(witness: asyncpg.Connection) -> None:
    rows = await witness.fetch(
        """
        select relname, relrowsecurity, relforcerowsecurity from pg_class
        where relnamespace = 'messenger'::regnamespace and relkind in ('r', 'p')
        """
    )
    assert len(rows) >= 10
    assert [row["relname"] for row in rows if not (row["relrowsecurity"] and row["relforcerowsecurity"])] == []


async def test_there_is_nothing_that_row_level_security_does_not_know(witness: asyncpg.Connection) -> None:
    """No materialised view and no foreign table; a view only as its caller."""
    assert (
        await witness.fetch(
            """
        select relname, relkind from pg_class
        where relnamespace = 'messenger'::regnamespace and (
            relkind in ('m', 'f') or (relkind = 'v' and not coalesce(reloptions @> '{security_invoker=true}', false))
        )
        """
        )
        == []
    )


async def test_policies_speak_to_the_application_or_to_the_owner_alone(
    witness: asyncpg.Connection, scene: Scene
) -> None:
    rows = await witness.fetch(
        "select tablename, policyname, roles::text[] as roles from pg_policies where schemaname = 'messenger'"
    )
    told = {(row["policyname"] == "owner_all", *row["roles"]) for row in rows}
    assert told == {(True, scene.database.servers.owner), (False, "messenger_app")}
    tables = await witness.fetch("select tablename from pg_tables where schemaname = 'messenger'")
    assert {row["tablename"] for row in rows if row["policyname"] == "owner_all"} == {row[0] for row in tables}


@pytest.mark.parametrize("role", ["messenger_app", "login"])
async def test_the_application_owns_and_bypasses_nothing(witness: asyncpg.Connection, scene: Scene, role: str) -> None:
    role = scene.database.servers.login if role == "login" else role
    row = await witness.fetchrow("select * from pg_roles where rolname = $1", role)
    assert not any(row[name] for name in ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication"))
    assert row["rolcanlogin"] == (role != "messenger_app")
    owned = await witness.fetch(
        """
        select c.oid::regclass::text from pg_class c where c.relowner = $1
        union all select p.oid::regprocedure::text from pg_proc p where p.proowner = $1
        union all select n.nspname from pg_namespace n where n.nspowner = $1
        union all select t.typname from pg_type t where t.typowner = $1
        union all select d.datname from pg_database d where d.datdba = $1
        """,
        row["oid"],
    )
    assert owned == []
    # Whatever it may become: itself and messenger_app, not the owner, and nobody who bypasses anything.
    may_be = await witness.fetch("select rolname from pg_roles where pg_has_role($1::name, oid, 'MEMBER')", role)
    assert {name for (name,) in may_be} == {role, "messenger_app"}


async def test_the_application_becomes_nobody_else(scene: Scene) -> None:
    async with scene.database.as_user(ANN) as connection:
        for statement in (
            f"set role {scene.database.servers.owner}",
            "set row_security = off; select from messenger.messages",
            "alter table messenger.messages disable row level security",
            "create policy mine on messenger.messages using (true)",
            "create table messenger.mine ()",
            "create function messenger.my_conversation_ids(x int) returns int language sql return 1",
            "grant select on messenger.users to messenger_app",
        ):
            savepoint = connection.transaction()
            await savepoint.start()
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
            await savepoint.rollback()


async def test_the_public_is_granted_nothing(witness: asyncpg.Connection) -> None:
    assert (
        await witness.fetch(
            """
        select c.relname, a.privilege_type from pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
        where c.relnamespace = 'messenger'::regnamespace and a.grantee = 0
        union all
        select t.attname, a.privilege_type from pg_attribute t join pg_class c on c.oid = t.attrelid, aclexplode(t.attacl) a
        where c.relnamespace = 'messenger'::regnamespace and a.grantee = 0
        union all
        select p.proname, a.privilege_type from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where p.pronamespace = 'messenger'::regnamespace and a.grantee = 0
        union all
        select n.nspname, a.privilege_type from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
        where n.nspname = 'messenger' and a.grantee = 0
        """
        )
        == []
    )


async def test_the_application_may_do_what_is_listed_and_no_more(witness: asyncpg.Connection) -> None:
    rows = await witness.fetch(
        """
        select c.relname, p.privilege,
            has_table_privilege('messenger_app', c.oid, p.privilege) as whole,
            array(
                select t.attname::text from pg_attribute t
                where t.attrelid = c.oid and t.attnum > 0 and not t.attisdropped
                    and p.privilege in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
                    and has_column_privilege('messenger_app', c.oid, t.attnum, p.privilege)
                order by t.attnum
            ) as columns
        from pg_class c
        cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) as p (privilege)
        where c.relnamespace = 'messenger'::regnamespace and c.relkind in ('r', 'p', 'v', 'S')
        """
    )
    granted = {
        (row["relname"], row["privilege"], "*" if row["whole"] else " ".join(row["columns"]))
        for row in rows
        if row["whole"] or row["columns"]
    }
    assert granted == GRANTED
