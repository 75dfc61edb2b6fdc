-- Duties of the daemon itself, which no user asks for. They return ids, numbers and times, never content.

create or replace function messenger.epoch() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select i.epoch from messenger.installation i $$;

-- What of sql/ is here: version 0 stands for functions and policies.
create or replace function messenger.applied_migrations() returns table (version integer, digest text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select m.version, m.digest from messenger.schema_migrations m $$;

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

-- A user arrives with a token: make him known, take over a newer profile.
-- Returns when his tokens begin to count; no row where he is unknown and unknown users are refused.
create or replace function messenger.arrive(
    p_user_id bigint, p_name text, p_avatar_url text, p_issued_at bigint, p_provision boolean
)
returns table (tokens_not_before timestamptz)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if p_provision then
        insert into messenger.users (id) values (p_user_id) on conflict do nothing;
    end if;
    update messenger.users u
    set name = coalesce(p_name, u.name), avatar_url = coalesce(p_avatar_url, u.avatar_url), profile_issued_at = p_issued_at
    where u.id = p_user_id and u.profile_issued_at <= p_issued_at
        and (u.tokens_not_before is null or p_issued_at >= floor(extract(epoch from u.tokens_not_before)))
        and (u.name, u.avatar_url) is distinct from (coalesce(p_name, u.name), coalesce(p_avatar_url, u.avatar_url));
    return query select u.tokens_not_before from messenger.users u where u.id = p_user_id;
end
$$;

-- The integer id of a host's own id; null where there is none.
create or replace function messenger.user_by_external_id(p_external_id text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select u.id from messenger.users u where u.external_id = p_external_id $$;

-- Every token of a user issued before now counts no more. Returns the time; null where there is no such user.
create or replace function messenger.revoke_tokens(p_user_id bigint) returns timestamptz
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update messenger.users u
    set tokens_not_before = greatest(u.tokens_not_before, clock_timestamp()), revoked_in = pg_current_xact_id()
    where u.id = p_user_id
    returning u.tokens_not_before
$$;

-- Whose tokens were revoked in or after a transaction, and when theirs begin to count.
create or replace function messenger.revoked_since(p_since xid8)
returns table (user_id bigint, tokens_not_before timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select u.id, u.tokens_not_before from messenger.users u where u.revoked_in >= p_since $$;

-- When somebody was last online; time does not run backwards.
create or replace function messenger.record_last_seen(p_user_id bigint, p_at timestamptz) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update messenger.users u set last_seen_at = greatest(u.last_seen_at, p_at) where u.id = p_user_id
$$;
