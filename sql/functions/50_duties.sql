-- Duties of the daemon itself, which no user asks for. They return ids, numbers and times, never content.

create or replace function messenger.epoch() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select i.epoch from messenger.installation i $$;

-- What of sql/ is here: version 0 stands for functions and policies.
create or replace function messenger.applied_migrations() returns table (version integer, digest text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select m.version, m.digest from messenger.schema_migrations m $$;

-- The lowest migration that code has to know to run here. Older code asks this of newer databases: it stays as it is.
create or replace function messenger.needed_migration() returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select max(m.needs) from messenger.schema_migrations m $$;

-- Where the next poll has to begin: nothing below this transaction is still running.
create or replace function messenger.horizon() returns xid8
language sql volatile
as $$ select pg_snapshot_xmin(pg_current_snapshot()) $$;

-- The conversations that changed in or after a transaction, and which of these users take part in them.
create or replace function messenger.touched_since(p_since xid8, p_user_ids bigint[])
returns table (conversation_id uuid, last_change bigint, deleted boolean, user_ids bigint[])
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select h.conversation_id, h.last_change, c.deleted_at is not null,
        array(
            select p.user_id from messenger.conversation_participants p
            where p.conversation_id = h.conversation_id and p.user_id = any (p_user_ids)
        )
    from messenger.conversation_heads h
    join messenger.conversations c on c.id = h.conversation_id
    where h.touched >= p_since
$$;

-- Where users stand in every conversation of theirs, latest activity first.
create or replace function messenger.standings_of(p_user_ids bigint[])
returns table (
    conversation_id uuid, user_id bigint, role text, first_seq bigint, joined_change bigint,
    last_seq bigint, last_change bigint, participant_count integer
)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select p.conversation_id, p.user_id, p.role, p.first_seq, p.joined_change,
        h.last_seq, h.last_change, h.participant_count
    from messenger.conversation_participants p
    -- offset 0: a head by its key for each of theirs, however many others there are.
    cross join lateral (select * from messenger.conversation_heads where conversation_id = p.conversation_id offset 0) as h
    where p.user_id = any (p_user_ids)
    order by h.active_at desc, h.conversation_id
$$;

-- Where these users stand in a conversation; who is not in it is left out.
create or replace function messenger.standing(p_conversation_id uuid, p_user_ids bigint[])
returns table (
    conversation_id uuid, user_id bigint, role text, first_seq bigint, joined_change bigint,
    last_seq bigint, last_change bigint, participant_count integer
)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select p.conversation_id, p.user_id, p.role, p.first_seq, p.joined_change,
        h.last_seq, h.last_change, h.participant_count
    from messenger.conversation_participants p
    join messenger.conversation_heads h on h.conversation_id = p.conversation_id
    where p.conversation_id = p_conversation_id and p.user_id = any (p_user_ids)
$$;

-- A user arrives with a token: make him known, take over a newer profile, except what the host application has set.
-- Returns when his tokens begin to count, and the version of his profile where this changed it; no row where he is unknown
-- and unknown users are refused.
create or replace function messenger.arrive(
    p_user_id bigint, p_name text, p_avatar_url text, p_issued_at bigint, p_provision boolean
)
returns table (tokens_not_before timestamptz, profile_version bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if p_provision then
        insert into messenger.users (id) values (p_user_id) on conflict do nothing;
    end if;
    update messenger.users u
    set name = case when u.name_is_set then u.name else coalesce(p_name, u.name) end,
        avatar_url = case when u.avatar_is_set then u.avatar_url else coalesce(p_avatar_url, u.avatar_url) end,
        profile_issued_at = p_issued_at, profile_version = u.profile_version + 1,
        profile_in = pg_current_xact_id(), touched = pg_current_xact_id()
    where u.id = p_user_id and u.profile_issued_at <= p_issued_at
        and (u.tokens_not_before is null or p_issued_at >= floor(extract(epoch from u.tokens_not_before)))
        and (
            (not u.name_is_set and u.name is distinct from coalesce(p_name, u.name))
            or (not u.avatar_is_set and u.avatar_url is distinct from coalesce(p_avatar_url, u.avatar_url))
        )
    returning u.profile_version into profile_version;
    if not found and (p_name is not null or p_avatar_url is not null) then
        -- It says what we know; but a token between the two says nothing any more.
        update messenger.users u set profile_issued_at = p_issued_at
        where u.id = p_user_id and u.profile_issued_at < p_issued_at
            and (u.tokens_not_before is null or p_issued_at >= floor(extract(epoch from u.tokens_not_before)));
    end if;
    return query select u.tokens_not_before, arrive.profile_version from messenger.users u where u.id = p_user_id;
end
$$;

-- The integer id of a host's own id; null where there is none.
create or replace function messenger.user_by_external_id(p_external_id text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select u.id from messenger.users u where u.external_id = p_external_id $$;

-- Every token of a user issued before now counts no more, and what was registered with one is told nothing more. Returns the
-- time; null where there is no such user.
create or replace function messenger.revoke_tokens(p_user_id bigint) returns timestamptz
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    delete from messenger.push_devices d where d.user_id = p_user_id;
    update messenger.users u
    set tokens_not_before = greatest(u.tokens_not_before, clock_timestamp()),
        revoked_in = pg_current_xact_id(), touched = pg_current_xact_id()
    where u.id = p_user_id
    returning u.tokens_not_before
$$;

-- Whom nodes have to hear of since a transaction: whose tokens were revoked and since when they count, whose profile changed
-- and its version. Who is named without either has other blocks or notification settings.
create or replace function messenger.people_since(p_since xid8)
returns table (user_id bigint, tokens_not_before timestamptz, profile_version bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select u.id, case when u.revoked_in >= p_since then u.tokens_not_before end,
        case when u.profile_in >= p_since then u.profile_version end
    from messenger.users u where u.touched >= p_since
$$;

-- What nodes from before migration 0003 ask instead of people_since; it goes when none of them can be left.
create or replace function messenger.revoked_since(p_since xid8)
returns table (user_id bigint, tokens_not_before timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select p.user_id, p.tokens_not_before from messenger.people_since(p_since) p where p.tokens_not_before is not null
$$;

-- What a node keeps of a user with a device there: between whom and him a block stands, and what he wants to be told of where
-- that is not the default.
create or replace function messenger.preferences_of(p_user_id bigint)
returns table (apart bigint[], conversation_ids uuid[], levels text[], muted_until timestamptz[])
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select
        array(
            select b.blocked_id from messenger.blocks b where b.user_id = p_user_id
            union select b.user_id from messenger.blocks b where b.blocked_id = p_user_id
        ),
        coalesce(array_agg(n.conversation_id), '{}'), coalesce(array_agg(n.level), '{}'), coalesce(array_agg(n.muted_until), '{}')
    from messenger.notification_settings n
    where n.user_id = p_user_id and (n.level <> 'all' or n.muted_until > now())
$$;

-- The conversations that somebody takes part in: a node knows who of them is there to be told of a change of his profile.
create or replace function messenger.conversations_of(p_user_id bigint) returns setof uuid
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select p.conversation_id from messenger.conversation_participants p where p.user_id = p_user_id $$;

-- When somebody was last online; time does not run backwards.
create or replace function messenger.record_last_seen(p_user_id bigint, p_at timestamptz) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update messenger.users u set last_seen_at = greatest(u.last_seen_at, p_at) where u.id = p_user_id
$$;
