-- Making and changing conversations. These run as the owner, so each says itself who may; none returns what the caller may not see.

-- A UUIDv7 (RFC 9562 §5.7), for PostgreSQL before 18.
create or replace function messenger.uuid7() returns uuid
language sql volatile
as $$
    select encode(
        set_bit(set_bit(overlay(
            uuid_send(gen_random_uuid())
            placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
            from 1 for 6
        ), 52, 1), 53, 1),
        'hex'
    )::uuid
$$;

-- What a person is called: his name, or one made of his id.
create or replace function messenger.display_name(p_user_id bigint) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select coalesce(u.name, 'User ' || u.id) from messenger.users u where u.id = p_user_id
$$;

-- Make users of ids seen for the first time, or refuse them. Raises user_not_found.
create or replace function messenger.provision_users(p_user_ids bigint[], p_provision boolean) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if p_provision then
        -- In the order of ids: two that provision the same people must not wait for each other.
        insert into messenger.users (id) select distinct id from unnest(p_user_ids) as id order by id
        on conflict do nothing;
    elsif exists (
        select from unnest(p_user_ids) as wanted (id)
        where not exists (select from messenger.users u where u.id = wanted.id)
    ) then
        perform messenger.fail('user_not_found');
    end if;
end
$$;

-- A guest is in his one room: for all others he does not exist. Raises user_not_found. Not granted.
create or replace function messenger.refuse_guests(p_user_ids bigint[]) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from messenger.users u where u.id = any (p_user_ids) and u.kind = 'guest') then
        perform messenger.fail('user_not_found');
    end if;
end
$$;

-- Write a system entry into the log, in my name. Not granted.
create or replace function messenger.tell(p_conversation_id uuid, p_content text, p_metadata jsonb)
returns messenger.messages
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    insert into messenger.messages (conversation_id, id, sender_id, message_type, content, metadata)
    values (p_conversation_id, messenger.uuid7(), messenger.current_user_id(), 'system', p_content, p_metadata)
    returning *
$$;

-- Lock a conversation for a change of its participants, and say what it is. Raises not_participant. Not granted.
create or replace function messenger.lock_mine(p_conversation_id uuid, out type text, out history text, out my_role text, out last_seq bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if messenger.my_first_seq(p_conversation_id) is null then
        perform messenger.fail('not_participant');
    end if;
    select h.last_seq into lock_mine.last_seq
    from messenger.conversation_heads h where h.conversation_id = p_conversation_id for update;
    select c.type, c.history, p.role into lock_mine.type, lock_mine.history, lock_mine.my_role
    from messenger.conversations c
    join messenger.conversation_participants p on p.conversation_id = c.id and p.user_id = messenger.current_user_id()
    where c.id = p_conversation_id;
    if lock_mine.my_role is null then
        perform messenger.fail('not_participant');
    end if;
end
$$;

-- Let somebody in, who is not there yet, and tell it in the log. Not granted.
create or replace function messenger.let_in(p_conversation_id uuid, p_user_id bigint, p_role text, p_first_seq bigint)
returns messenger.messages
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    told messenger.messages;
    me constant bigint := messenger.current_user_id();
begin
    insert into messenger.conversation_participants (conversation_id, user_id, role, first_seq)
    values (p_conversation_id, p_user_id, p_role, p_first_seq);
    told := messenger.tell(
        p_conversation_id,
        case when p_user_id = me then format('%s joined', messenger.display_name(me))
            else format('%s added %s', messenger.display_name(me), messenger.display_name(p_user_id)) end,
        jsonb_build_object(
            'event', 'participant.added', 'user_id', p_user_id, 'name', messenger.display_name(p_user_id),
            'role', p_role, 'by', me
        ) || coalesce((
            -- Who hears of him in a live session's words calls him so.
            select jsonb_build_object('participant_id', u.public_id) from messenger.users u, messenger.conversations c
            where u.id = p_user_id and c.id = p_conversation_id and c.join_code is not null
        ), '{}')
    );
    update messenger.conversation_participants p set joined_change = told.change
    where p.conversation_id = p_conversation_id and p.user_id = p_user_id;
    return told;
end
$$;

-- Make a conversation, with its maker as admin. A second direct one for the same pair is the first; who had left it is back in it.
-- Its id is made here: one that a caller chose would tell him whether it is taken. Raises forbidden, user_not_found.
create or replace function messenger.create_conversation(
    p_type text, p_title text, p_metadata jsonb, p_history text, p_participant_ids bigint[], p_provision boolean,
    out conversation_id uuid, out created boolean, out told messenger.messages[]
)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    me constant bigint := messenger.current_user_id();
    others constant bigint[] := array(select distinct id from unnest(p_participant_ids) as id where id <> me order by id);
    new_id constant uuid := messenger.uuid7();
    first record;
    seen_from bigint;
    peer bigint;
begin
    told := '{}';
    if p_type = 'direct' and cardinality(others) <> 1 then
        perform messenger.fail('forbidden', 'A direct conversation has two participants');
    end if;
    perform messenger.refuse_guests(others);
    perform messenger.provision_users(others, p_provision);
    if p_type = 'direct' then
        perform messenger.lock_pair(me, others[1]);
        if messenger.are_apart(me, others[1]) then
            perform messenger.fail('forbidden', 'You cannot write to this user');
        end if;
    end if;
    insert into messenger.conversations (id, type, title, metadata, history, created_by, direct_low, direct_high)
    values (
        new_id, p_type, p_title, p_metadata, p_history, me,
        case when p_type = 'direct' then least(me, others[1]) end,
        case when p_type = 'direct' then greatest(me, others[1]) end
    )
    on conflict on constraint conversations_direct_unique do nothing
    returning id into conversation_id;
    created := conversation_id is not null;
    if created then
        insert into messenger.conversation_heads (conversation_id) values (new_id);
        insert into messenger.conversation_participants (conversation_id, user_id, role)
        select new_id, me, 'admin' union all select new_id, id, 'member' from unnest(others) as id;
        return;
    end if;
    select c.id, c.history, c.created_by into first from messenger.conversations c
    where c.direct_low = least(me, others[1]) and c.direct_high = greatest(me, others[1]);
    conversation_id := first.id;
    select h.last_seq into seen_from from messenger.conversation_heads h where h.conversation_id = first.id for update;
    foreach peer in array array[me, others[1]] loop
        if not exists (
            select from messenger.conversation_participants p where p.conversation_id = first.id and p.user_id = peer
        ) then
            seen_from := seen_from + 1;
            told := told || messenger.let_in(
                first.id, peer, case peer when first.created_by then 'admin' else 'member' end,
                case first.history when 'joined' then seen_from else 1 end
            );
        end if;
    end loop;
end
$$;

-- Let people in, as an admin. Who is there already is passed over. Raises not_participant, forbidden, user_not_found.
create or replace function messenger.add_participants(
    p_conversation_id uuid, p_user_ids bigint[], p_role text, p_provision boolean
)
returns setof messenger.messages
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    mine record;
    newcomer bigint;
    told messenger.messages;
begin
    mine := messenger.lock_mine(p_conversation_id);
    if mine.type = 'direct' then
        perform messenger.fail('forbidden', 'A direct conversation has two participants');
    elsif mine.my_role <> 'admin' then
        perform messenger.fail('forbidden', 'Only admins can add participants');
    end if;
    perform messenger.refuse_guests(p_user_ids);
    perform messenger.provision_users(p_user_ids, p_provision);
    for newcomer in
        select distinct id from unnest(p_user_ids) as id
        where not exists (
            select from messenger.conversation_participants p where p.conversation_id = p_conversation_id and p.user_id = id
        )
        order by id
    loop
        told := messenger.let_in(
            p_conversation_id, newcomer, p_role, case mine.history when 'joined' then mine.last_seq + 1 else 1 end
        );
        mine.last_seq := told.seq;
        return next told;
    end loop;
end
$$;

-- Change a role, as an admin. Raises not_participant, forbidden, user_not_found, conflict.
create or replace function messenger.set_role(p_conversation_id uuid, p_user_id bigint, p_role text)
returns setof messenger.messages
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    mine record;
    before text;
begin
    mine := messenger.lock_mine(p_conversation_id);
    if mine.type = 'direct' then
        perform messenger.fail('forbidden', 'A direct conversation has no roles to change');
    elsif mine.my_role <> 'admin' then
        perform messenger.fail('forbidden', 'Only admins can change roles');
    end if;
    select p.role into before from messenger.conversation_participants p
    where p.conversation_id = p_conversation_id and p.user_id = p_user_id;
    if before is null then
        perform messenger.fail('user_not_found', 'Not a participant of this conversation');
    elsif before = p_role then
        return;
    elsif before = 'admin' and not exists (
        select from messenger.conversation_participants p
        where p.conversation_id = p_conversation_id and p.role = 'admin' and p.user_id <> p_user_id
    ) then
        perform messenger.fail('conflict', 'A conversation keeps at least one admin');
    end if;
    return next messenger.give_role(p_conversation_id, p_user_id, p_role);
end
$$;

-- Give a role and tell it in the log. Not granted.
create or replace function messenger.give_role(p_conversation_id uuid, p_user_id bigint, p_role text)
returns messenger.messages
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update messenger.conversation_participants p set role = p_role
    where p.conversation_id = p_conversation_id and p.user_id = p_user_id;
    return messenger.tell(
        p_conversation_id,
        format('%s is now %s', messenger.display_name(p_user_id), p_role),
        jsonb_build_object(
            'event', 'participant.updated', 'user_id', p_user_id, 'name', messenger.display_name(p_user_id),
            'role', p_role, 'by', messenger.current_user_id()
        )
    );
end
$$;

-- Leave, or remove somebody as an admin. The last admin's leaving makes the longest member admin.
-- Raises not_participant, forbidden, user_not_found.
create or replace function messenger.remove_participant(p_conversation_id uuid, p_user_id bigint)
returns setof messenger.messages
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    me constant bigint := messenger.current_user_id();
    mine record;
    gone text;
    heir bigint;
    told messenger.messages;
begin
    mine := messenger.lock_mine(p_conversation_id);
    if p_user_id <> me and mine.type = 'direct' then
        perform messenger.fail('forbidden', 'Nobody can be removed from a direct conversation');
    elsif p_user_id <> me and mine.my_role <> 'admin' then
        perform messenger.fail('forbidden', 'Only admins can remove participants');
    end if;
    select p.role into gone from messenger.conversation_participants p
    where p.conversation_id = p_conversation_id and p.user_id = p_user_id;
    if gone is null then
        perform messenger.fail('user_not_found', 'Not a participant of this conversation');
    end if;
    -- The heir first: what is told above the removal would have no author any more.
    if gone = 'admin' and mine.type <> 'direct' and not exists (
        select from messenger.conversation_participants p
        where p.conversation_id = p_conversation_id and p.role = 'admin' and p.user_id <> p_user_id
    ) then
        select p.user_id into heir from messenger.conversation_participants p
        where p.conversation_id = p_conversation_id and p.user_id <> p_user_id
        order by p.role = 'observer', p.joined_at, p.user_id limit 1;
        if heir is not null then
            return next messenger.give_role(p_conversation_id, heir, 'admin');
        end if;
    end if;
    told := messenger.tell(
        p_conversation_id,
        case when p_user_id = me then format('%s left', messenger.display_name(me))
            else format('%s removed %s', messenger.display_name(me), messenger.display_name(p_user_id)) end,
        jsonb_build_object(
            'event', 'participant.removed', 'user_id', p_user_id, 'name', messenger.display_name(p_user_id),
            'role', gone, 'by', me
        )
    );
    with gone as (
        delete from messenger.conversation_participants p
        where p.conversation_id = p_conversation_id and p.user_id = p_user_id
        returning case when p.guest_until > clock_timestamp() then p.nickname_key end as nickname_key
    )
    insert into messenger.conversation_departures as d (conversation_id, user_id, change, nickname_key)
    select p_conversation_id, p_user_id, told.change, g.nickname_key from gone g
    on conflict on constraint conversation_departures_pk do update set change = excluded.change;
    return next told;
end
$$;

-- The entry that tells of my own leaving; nothing where I never left, or am back.
create or replace function messenger.my_departure(p_conversation_id uuid) returns setof messenger.messages
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select m.*
    from messenger.conversation_departures d
    join messenger.messages m on m.conversation_id = d.conversation_id and m.change = d.change
    where d.conversation_id = p_conversation_id and d.user_id = messenger.current_user_id()
        and messenger.my_first_seq(p_conversation_id) is null
$$;

-- Change title or metadata, as an admin; null leaves as it is. Raises not_participant, forbidden.
create or replace function messenger.update_conversation(
    p_conversation_id uuid, p_set_title boolean, p_title text, p_metadata jsonb
)
returns setof messenger.messages
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    mine record;
    me constant bigint := messenger.current_user_id();
begin
    mine := messenger.lock_mine(p_conversation_id);
    if mine.my_role <> 'admin' then
        perform messenger.fail('forbidden', 'Only admins can change a conversation');
    elsif mine.type = 'direct' and exists (
        select from messenger.conversations c
        where c.id = p_conversation_id and messenger.are_apart(c.direct_low, c.direct_high)
    ) then
        perform messenger.fail('forbidden', 'You cannot write to this user');
    end if;
    update messenger.conversations c
    set title = case when p_set_title then p_title else c.title end,
        metadata = coalesce(p_metadata, c.metadata),
        updated_at = clock_timestamp()
    where c.id = p_conversation_id;
    return next messenger.tell(
        p_conversation_id,
        case when not p_set_title then format('%s changed the conversation', messenger.display_name(me))
            when p_title is null then format('%s removed the title', messenger.display_name(me))
            else format('%s changed the title to %s', messenger.display_name(me), p_title) end,
        jsonb_build_object('event', 'conversation.updated', 'by', me)
            || case when p_set_title then jsonb_build_object('title', p_title) else '{}' end
    );
end
$$;

-- Delete a conversation with everything in it, as an admin. Raises not_participant, forbidden.
-- Returns who took part. An empty shell stays, touched, so that nodes that missed it still learn of it.
create or replace function messenger.delete_conversation(p_conversation_id uuid) returns setof bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    mine record;
begin
    mine := messenger.lock_mine(p_conversation_id);
    if mine.type = 'direct' then
        perform messenger.fail('forbidden', 'A direct conversation can only be left');
    elsif mine.my_role <> 'admin' then
        perform messenger.fail('forbidden', 'Only admins can delete a conversation');
    end if;
    return query
        delete from messenger.conversation_participants p where p.conversation_id = p_conversation_id returning p.user_id;
    delete from messenger.messages m where m.conversation_id = p_conversation_id;
    delete from messenger.conversation_departures d where d.conversation_id = p_conversation_id;
    delete from messenger.missing_messages n where n.conversation_id = p_conversation_id;
    update messenger.conversations c
    set title = null, metadata = '{}', join_code = null, open_room = null, channel_url = null, channel_no = null,
        deleted_at = clock_timestamp()
    where c.id = p_conversation_id;
    update messenger.conversation_heads h set touched = pg_current_xact_id() where h.conversation_id = p_conversation_id;
end
$$;

-- Who left a conversation of mine, and is not back: his messages stay, and so does his name. From before my history begins
-- nobody is told.
create or replace function messenger.former_participants(p_conversation_id uuid)
returns table (user_id bigint, name text, avatar_url text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select u.id, messenger.display_name(u.id), u.avatar_url
    from messenger.conversation_participants mine
    join messenger.conversation_departures d on d.conversation_id = mine.conversation_id
    join messenger.users u on u.id = d.user_id
    where mine.conversation_id = p_conversation_id and mine.user_id = messenger.current_user_id()
        and (mine.first_seq = 1 or d.change >= mine.joined_change)
        and not exists (
            select from messenger.conversation_participants p
            where p.conversation_id = d.conversation_id and p.user_id = d.user_id
        )
    order by d.change desc
    limit 500
$$;

-- A few others of a conversation of mine, for the line that a list has for it; of a direct one the other, though he left.
create or replace function messenger.people_of(p_conversation_id uuid, p_most integer) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        jsonb_agg(
            jsonb_build_object('user_id', u.id, 'name', messenger.display_name(u.id), 'avatar_url', u.avatar_url)
            order by u.id
        ),
        '[]'
    )
    from messenger.conversations c
    cross join lateral (
        select c.direct_low + c.direct_high - messenger.current_user_id() as user_id
        where c.type = 'direct'
        union all
        (
            select p.user_id from messenger.conversation_participants p
            where p.conversation_id = c.id and p.user_id <> messenger.current_user_id() and c.type <> 'direct'
            order by p.user_id limit p_most
        )
    ) as other
    join messenger.users u on u.id = other.user_id
    where c.id = p_conversation_id and messenger.my_first_seq(p_conversation_id) is not null
$$;
