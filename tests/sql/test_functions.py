"""What may be called, and as whom it runs: read from the catalog, so that a later function is judged here at once."""

import re
from importlib.resources import files

import asyncpg

from tests.support.scene import ANN, BEN, DENIED, Scene, refusal

# What the daemon calls. A new one is added here by somebody who has thought of what a stranger could learn from it.
EXECUTABLE = """
    accounts(bigint[])
    accounts_page(bigint,integer)
    add_participants(uuid,bigint[],text,boolean)
    announce_in_channel(uuid,text,text,text)
    answer_question(uuid)
    append_drafts(bigint[],uuid[],uuid[],text[],bytea[],text[],text[],uuid[],jsonb,jsonb[],jsonb[],boolean)
    append_messages(bigint[],uuid[],uuid[],text[],bytea[],text[],text[],uuid[],jsonb,jsonb[],jsonb[],boolean)
    applied_migrations()
    arrive(bigint,text,text,bigint,boolean)
    attendee(uuid,uuid,bigint)
    audience(uuid[],uuid[],bigint[])
    audience_of_session(uuid)
    block(bigint,boolean)
    call_people(text[],boolean)
    catch_up(bigint,uuid[],bigint[],integer)
    change_account(bigint,text[],text,text,jsonb)
    change_channel(uuid,boolean,text,jsonb)
    change_session(uuid,boolean,text,boolean,boolean)
    channel_message(bigint,uuid,bigint,bigint)
    channel_people(uuid,bigint[])
    channels_called(text[])
    channels_page(boolean,timestamp with time zone,uuid,bigint[],text[],boolean,integer)
    claim_deliveries(text,integer,interval)
    clear_attachments(interval,integer)
    clear_deliveries()
    clear_open_room(uuid,interval,integer)
    conversation_of_message(uuid)
    conversations_of(bigint)
    count_waiting()
    create_channel(text,text,jsonb,bigint[],bigint[],bigint)
    create_conversation(text,text,jsonb,text,bigint[],boolean)
    current_scope()
    current_user_id()
    delete_account(bigint)
    delete_conversation(uuid)
    delete_empty_channel(text)
    enter(bigint,uuid[])
    enter_open_room(text,boolean)
    epoch()
    fail(text,text)
    former_participants(uuid)
    guest_key()
    hand_out(uuid[],boolean,uuid[],bigint[],boolean[],boolean[],interval)
    history(bigint,uuid,bigint,bigint,boolean,integer)
    horizon()
    idle_guests(integer)
    idle_open_rooms(interval,integer)
    invite_to_channel(uuid,bigint[])
    is_importing()
    is_said(messages)
    join_session(uuid,text,text,interval)
    last_said(bigint[],uuid[])
    make_account(text,text,text,jsonb)
    mark_read(bigint,uuid)
    mentionable(uuid,jsonb)
    message_by_vendor_id(uuid,bigint)
    my_administered_conversation_ids()
    my_apart_ids()
    my_conversation_ids()
    my_cut_conversation_ids()
    my_departure(uuid)
    my_first_seq(uuid)
    my_message_by_client_id(uuid,text)
    my_posting_conversation_ids()
    my_unread_count(uuid,bigint)
    needed_migration()
    open_room_window(bigint,uuid,integer)
    open_session(text,text)
    people_called(text[])
    people_of(uuid,integer)
    people_since(xid8)
    preferences_of(bigint)
    profiles(bigint[])
    put_off_delivery(uuid,integer,text,interval)
    put_out(uuid[],uuid[])
    put_user(bigint,text,text[],text,text,text)
    react(uuid,text,boolean)
    recipients(uuid,uuid,bigint[])
    record_last_seen(bigint,timestamp with time zone)
    register_push_device(text,text,text,text)
    remove_participant(uuid,bigint)
    retract_in_channel(uuid,uuid)
    revive_channel(text,bigint)
    revoke_tokens(bigint)
    revoked_since(xid8)
    said_around(bigint,uuid,timestamp with time zone,bigint,integer,integer,boolean,text[],text[],text[],bigint[])
    seq_at(uuid,timestamp with time zone)
    session_history(uuid,integer)
    session_named(text)
    session_people(uuid)
    set_role(uuid,bigint,text)
    settle_delivery(uuid,integer,boolean)
    standing(uuid,bigint[])
    standings_of(bigint[])
    touched_since(xid8,bigint[])
    update_conversation(uuid,boolean,text,jsonb)
    upload_of(text)
    user_by_external_id(text)
    vendor_ids(uuid,uuid[])
    waiting_messages(integer)
"""


async def test_the_application_calls_what_is_listed_and_no_more(witness: asyncpg.Connection) -> None:
    rows = await witness.fetch(
        """
        select replace(p.oid::regprocedure::text, 'messenger.', '') as signature from pg_proc p
        where p.pronamespace = 'messenger'::regnamespace and has_function_privilege('messenger_app', p.oid, 'EXECUTE')
        """
    )
    assert sorted(row["signature"] for row in rows) == [line.strip() for line in EXECUTABLE.strip().splitlines()]


async def test_what_is_marked_as_not_granted_is_not(scene: Scene) -> None:
    marked = {
        name
        for file in files("messenger.sql").joinpath("functions").iterdir()
        for comment, name in re.findall(
            r"((?:^--.*\n)+)create or replace function messenger\.(\w+)", file.read_text(), re.MULTILINE
        )
        if "Not granted" in comment
    }
    assert marked >= {"tell", "lock_mine", "let_in", "give_role"}
    async with scene.database.as_user(ANN) as connection:
        for statement, *args in (
            ("select messenger.tell($1, 'I am the system', '{}')", scene.tea),
            ("select messenger.lock_mine($1)", scene.tea),
            ("select messenger.let_in($1, 5, 'admin', 1)", scene.tea),
            ("select messenger.give_role($1, 2, 'admin')", scene.tea),
            ("select messenger.display_name(5)",),
            ("select messenger.provision_users('{777}', true)",),
        ):
            told = await refusal(connection, statement, *args)
            assert (told.state, told.text) == (DENIED, f"permission denied for function {name_of(statement)}")
    assert marked.isdisjoint(re.findall(r"(\w+)\(", EXECUTABLE))


def name_of(statement: str) -> str:
    match = re.search(r"messenger\.(\w+)", statement)
    assert match
    return match[1]


async def test_every_definer_looks_into_the_temporary_schema_last(witness: asyncpg.Connection) -> None:
    rows = await witness.fetch(
        "select proname, proconfig from pg_proc where pronamespace = 'messenger'::regnamespace and prosecdef"
    )
    assert len(rows) >= 20
    assert [row["proname"] for row in rows if row["proconfig"] != ["search_path=pg_catalog, pg_temp"]] == []


async def test_a_type_of_ones_own_making_never_runs_as_the_owner(scene: Scene) -> None:
    """The temporary schema is searched for types before all others unless a function says otherwise."""
    async with scene.database.as_user(ANN) as connection:
        await connection.execute(
            """
            create temp table ran_as (who pg_catalog.text);
            create function pg_temp.grab(value pg_catalog.text) returns boolean language plpgsql
                as $$ begin insert into pg_temp.ran_as values (current_user); return true; end $$;
            create domain pg_temp.text as pg_catalog.text check (pg_temp.grab(value));
            grant all on pg_temp.ran_as to public;
            """
        )
        for statement in (
            "select 'bait'::text",
            f"select messenger.set_role('{scene.tea}', {BEN}, 'observer')",
            f"select messenger.remove_participant('{scene.tea}', {BEN})",
            "select messenger.create_conversation('group', 'T', '{}', 'all', '{2}', false)",
        ):
            await connection.execute(statement)
        ran_as = await connection.fetch("select distinct who from pg_temp.ran_as")
    # The bait was taken, and by nobody but the caller.
    assert [row["who"] for row in ran_as] == [scene.database.servers.login]


async def test_duties_tell_ids_numbers_and_times(witness: asyncpg.Connection) -> None:
    """They run for nobody and answer of all conversations, so there must be no content in them."""
    rows = await witness.fetch(
        """
        select p.proname, coalesce(p.proallargtypes, p.proargtypes)::regtype[]::text[] as types,
            p.proargmodes::text[] as modes, p.proargnames as names, p.prorettype::regtype::text as returned
        from pg_proc p where p.oid = any (array[
            'messenger.touched_since(xid8, bigint[])', 'messenger.standing(uuid, bigint[])', 'messenger.standings_of(bigint[])',
            'messenger.waiting_messages(integer)', 'messenger.audience(uuid[], uuid[], bigint[])',
            'messenger.recipients(uuid, uuid, bigint[])', 'messenger.claim_deliveries(text, integer, interval)',
            'messenger.user_by_external_id(text)', 'messenger.horizon()', 'messenger.session_named(text)',
            'messenger.audience_of_session(uuid)', 'messenger.idle_guests(integer)', 'messenger.enter_open_room(text, boolean)',
            'messenger.idle_open_rooms(interval, integer)', 'messenger.clear_open_room(uuid, interval, integer)'
        ]::regprocedure[])
        """
    )
    told = {
        row["proname"]: {
            name: type_
            for name, type_, mode in zip(row["names"] or (), row["types"], row["modes"] or (), strict=False)
            if mode == "t"  # a column of the answer
        }
        or row["returned"]
        for row in rows
    }
    assert told == {
        "touched_since": {
            "conversation_id": "uuid",
            "last_change": "bigint",
            "deleted": "boolean",
            "user_ids": "bigint[]",
        },
        "standing": {
            "conversation_id": "uuid",
            "user_id": "bigint",
            "role": "text",
            "first_seq": "bigint",
            "joined_change": "bigint",
            "last_seq": "bigint",
            "last_change": "bigint",
            "participant_count": "integer",
        },
        "standings_of": {
            "conversation_id": "uuid",
            "user_id": "bigint",
            "role": "text",
            "first_seq": "bigint",
            "joined_change": "bigint",
            "last_seq": "bigint",
            "last_change": "bigint",
            "participant_count": "integer",
        },
        "waiting_messages": {"conversation_id": "uuid", "message_id": "uuid", "participant_count": "integer"},
        "audience": {
            "message_id": "uuid",
            "user_id": "bigint",
            "mentioned": "boolean",
            "push_enabled": "boolean",
            "email_enabled": "boolean",
            "seen_s": "double precision",
        },
        "recipients": {
            "user_id": "bigint",
            # The host's own id, which only the host is told.
            "external_id": "text",
            "mentioned": "boolean",
            "push_enabled": "boolean",
            "email_enabled": "boolean",
            "unread_count": "bigint",
        },
        "claim_deliveries": {
            "id": "uuid",
            "conversation_id": "uuid",
            "message_id": "uuid",
            "user_ids": "bigint[]",
            "device_id": "uuid",
            "attempts": "integer",
            "created_at": "timestamp with time zone",
        },
        "user_by_external_id": "bigint",
        "horizon": "xid8",
        "session_named": {"conversation_id": "uuid", "join_code": "text", "is_closed": "boolean"},
        "audience_of_session": {"user_id": "bigint", "public_id": "uuid"},
        "idle_guests": {"conversation_id": "uuid", "user_id": "bigint"},
        "enter_open_room": "record",
        "idle_open_rooms": {"conversation_id": "uuid", "user_id": "bigint"},
        "clear_open_room": "boolean",
    }
