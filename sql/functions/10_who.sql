-- Who is asking, and what is his. Policies rest on these; each returns ids or numbers, never content.
-- A definer function, here and elsewhere, looks into pg_temp last: else a type of the caller's own making, named text and
-- checked by a function of his, would run as the owner.

-- The user on whose behalf this transaction runs; null where nobody said, and then nothing is visible.
create or replace function messenger.current_user_id() returns bigint
language sql stable parallel safe
return nullif(current_setting('messenger.user_id', true), '')::bigint;

-- The conversations that this transaction is about. It narrows what my_… return, and never widens it.
create or replace function messenger.current_scope() returns uuid[]
language sql stable parallel safe
return nullif(current_setting('messenger.scope', true), '')::uuid[];

-- Enter as a user, for this transaction only; p_scope narrows to some conversations.
create or replace function messenger.enter(p_user_id bigint, p_scope uuid[] default null) returns void
language plpgsql
as $$
declare
    told text; -- assigned, not performed: that would be a query each, and every message enters
begin
    told := set_config('messenger.user_id', p_user_id::text, true);
    told := set_config('messenger.scope', coalesce(p_scope::text, ''), true);
end
$$;

-- Say a failure by its code; the store makes an error of it.
create or replace function messenger.fail(p_code text, p_message text default '') returns void
language plpgsql
as $$
begin
    raise exception using errcode = 'MG001', message = p_code, detail = p_message;
end
$$;

-- Conversations that I take part in.
create or replace function messenger.my_conversation_ids() returns setof uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp rows 20
as $$
declare
    me constant bigint := messenger.current_user_id();
    scope constant uuid[] := messenger.current_scope();
begin
    if scope is null then
        return query select p.conversation_id from messenger.conversation_participants p where p.user_id = me;
    else
        return query select p.conversation_id from messenger.conversation_participants p
            where p.user_id = me and p.conversation_id = any (scope);
    end if;
end
$$;

-- Conversations in which I may write: not as an observer, and in an announcement only as its admin.
create or replace function messenger.my_posting_conversation_ids() returns setof uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp rows 20
as $$
declare
    me constant bigint := messenger.current_user_id();
    scope constant uuid[] := messenger.current_scope();
begin
    return query
        select p.conversation_id
        from messenger.conversation_participants p
        join messenger.conversations c on c.id = p.conversation_id
        where p.user_id = me and (scope is null or p.conversation_id = any (scope))
            and (p.role = 'admin' or (p.role = 'member' and c.type <> 'announcement'));
end
$$;

-- Conversations whose admin I am.
create or replace function messenger.my_administered_conversation_ids() returns setof uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp rows 20
as $$
declare
    me constant bigint := messenger.current_user_id();
    scope constant uuid[] := messenger.current_scope();
begin
    return query
        select p.conversation_id from messenger.conversation_participants p
        where p.user_id = me and p.role = 'admin' and (scope is null or p.conversation_id = any (scope));
end
$$;

-- Conversations of which I may not see the beginning.
create or replace function messenger.my_cut_conversation_ids() returns setof uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp rows 1
as $$
declare
    me constant bigint := messenger.current_user_id();
    scope constant uuid[] := messenger.current_scope();
begin
    return query
        select p.conversation_id from messenger.conversation_participants p
        where p.user_id = me and p.first_seq > 1 and (scope is null or p.conversation_id = any (scope));
end
$$;

-- The lowest seq of a conversation that I may see; null where I am no participant.
create or replace function messenger.my_first_seq(p_conversation_id uuid) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select p.first_seq from messenger.conversation_participants p
    where p.conversation_id = p_conversation_id and p.user_id = messenger.current_user_id()
$$;

-- The conversation of a message that I may see; null for one that is hidden and for one that does not exist alike.
create or replace function messenger.conversation_of_message(p_message_id uuid) returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select m.conversation_id
    from messenger.messages m
    join messenger.conversation_participants p on p.conversation_id = m.conversation_id
    where m.id = p_message_id and p.user_id = messenger.current_user_id() and m.seq >= p.first_seq
$$;

-- What counts as unread for me: no system entries, no tombstones, nothing of mine.
create or replace function messenger.my_unread_count(p_conversation_id uuid, p_last_read_seq bigint) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select count(*)
    from messenger.messages m
    join messenger.conversation_participants p
        on p.conversation_id = m.conversation_id and p.user_id = messenger.current_user_id()
    where m.conversation_id = p_conversation_id
        and m.seq > p_last_read_seq and m.seq >= p.first_seq
        and m.message_type <> 'system' and m.deleted_at is null
        and m.sender_id <> p.user_id
$$;

-- Those between whom and me a block stands, whoever placed it.
create or replace function messenger.my_apart_ids() returns setof bigint
language sql stable security definer set search_path = pg_catalog, pg_temp rows 5
as $$
    select b.blocked_id from messenger.blocks b where b.user_id = messenger.current_user_id()
    union
    select b.user_id from messenger.blocks b where b.blocked_id = messenger.current_user_id()
$$;

-- One at a time does what depends on whether a block stands between two people; until the end of the transaction. Not granted.
create or replace function messenger.lock_pair(p_one bigint, p_other bigint) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select pg_advisory_xact_lock(hashtextextended('messenger pair ' || least(p_one, p_other) || ' ' || greatest(p_one, p_other), 0))
$$;

-- Whether a block stands between two people. Not granted: it would tell who blocks whom.
create or replace function messenger.are_apart(p_one bigint, p_other bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from messenger.blocks b
        where (b.user_id, b.blocked_id) in ((p_one, p_other), (p_other, p_one))
    )
$$;
