-- name: epoch
-- The name of this database's history.
select messenger.epoch()

-- name: renew_epoch
-- Another history begins, and numbers of transactions with it: those of before are above all that are to come for a while.
-- Run by the owner.
with heads as (update messenger.conversation_heads set touched = pg_current_xact_id()),
    people as (update messenger.users set touched = null, profile_in = null, revoked_in = null where touched is not null)
update messenger.installation set epoch = substr(md5(gen_random_uuid()::text), 1, 12) returning epoch

-- name: horizon
-- Where the next poll has to begin.
select messenger.horizon()

-- name: touched_since
-- What changed lately, and which of these users take part in it.
select conversation_id, last_change, deleted, user_ids from messenger.touched_since($1, $2)

-- name: people_since
-- Of whom nodes have to hear since a transaction.
select user_id, tokens_not_before, profile_version from messenger.people_since($1)

-- name: preferences_of
-- Between whom and users a block stands, and what they want to be told of; in their order.
select p.apart, p.conversation_ids, p.levels, p.muted_until
from unnest($1::bigint[]) with ordinality as who (user_id, place)
cross join lateral messenger.preferences_of(who.user_id) as p
order by who.place

-- name: standings_of
-- Where these users stand in every conversation of theirs, latest activity first.
select conversation_id, user_id, role, first_seq, joined_change, last_seq, last_change, participant_count
from messenger.standings_of($1)

-- name: conversations_of
-- The conversations that somebody takes part in.
select messenger.conversations_of($1)

-- name: standing
-- Where these users stand in one conversation.
select * from messenger.standing($1, $2)

-- name: record_last_seen
-- When these people were last online; in one order, so that two nodes do not lock each other out.
select messenger.record_last_seen(user_id, at)
from (select user_id, at from unnest($1::bigint[], $2::timestamptz[]) as seen (user_id, at) order by user_id) as seen

-- name: identity
-- Who this connection is, and what that would bypass: by itself or as a role that it may become.
select session_user::text as name,
    exists (select from pg_roles r where r.rolsuper and pg_has_role(session_user, r.oid, 'MEMBER')) as is_superuser,
    exists (select from pg_roles r where r.rolbypassrls and pg_has_role(session_user, r.oid, 'MEMBER')) as bypasses,
    exists (
        select from pg_class t join pg_namespace s on s.oid = t.relnamespace
        where s.nspname = 'messenger' and pg_has_role(session_user, t.relowner, 'MEMBER')
    ) as is_owner,
    exists (select from pg_roles app where app.rolname = 'messenger_app' and pg_has_role(session_user, app.oid, 'USAGE')) as is_app,
    current_setting('server_version_num')::integer as server_version,
    exists (
        select from pg_class t join pg_namespace s on s.oid = t.relnamespace
        where s.nspname = 'messenger' and t.relname = 'schema_migrations'
    ) as has_schema

-- name: tables
-- Every table, and whether row-level security is on and forced.
select c.relname::text as name, c.relrowsecurity as enabled, c.relforcerowsecurity as forced
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'messenger' and c.relkind in ('r', 'p') order by c.relname

-- name: applied
-- What of sql/ this database holds.
select version, digest from messenger.applied_migrations()

-- name: needs
-- The lowest migration that code has to know to run on it.
select messenger.needed_migration()

-- name: clock
-- The database's time.
select clock_timestamp()
