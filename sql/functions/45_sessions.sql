-- Live sessions and open rooms: rooms that people without an account come into.

-- A live session by its code, in any case, or by its id; a closed one too.
create or replace function messenger.session_named(p_named text)
returns table (conversation_id uuid, join_code text, is_closed boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select c.id, c.join_code, c.closed_at is not null
    from messenger.conversations c
    where c.join_code is not null and (
        c.join_code = upper(p_named)
        or c.id = case when p_named ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_named::uuid end
    )
$$;

-- Somebody in a live session, by his public id or by his own.
create or replace function messenger.attendee(p_conversation_id uuid, p_public_id uuid, p_user_id bigint)
returns table (user_id bigint, public_id uuid, role text, nickname text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select u.id, u.public_id, p.role, messenger.display_name(u.id)
    from messenger.users u
    join messenger.conversation_participants p on p.user_id = u.id and p.conversation_id = p_conversation_id
    join messenger.conversations c on c.id = p.conversation_id and c.join_code is not null
    where u.public_id = p_public_id or u.id = p_user_id
$$;

-- Who takes part in a live session beside its hosts.
create or replace function messenger.audience_of_session(p_conversation_id uuid)
returns table (user_id bigint, public_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select u.id, u.public_id
    from messenger.conversation_participants p
    join messenger.users u on u.id = p.user_id
    join messenger.conversations c on c.id = p.conversation_id
    where p.conversation_id = p_conversation_id and p.role <> 'admin' and c.join_code is not null
    order by p.joined_at, u.id
$$;

-- Open a live session, as its host. Raises conflict where the code is taken.
create or replace function messenger.open_session(p_title text, p_join_code text) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    opened uuid;
begin
    select c.conversation_id into opened
    from messenger.create_conversation('room', p_title, '{}', 'all', '{}', false) as c;
    update messenger.conversations c set join_code = p_join_code where c.id = opened;
    return opened;
exception
    when unique_violation then
        perform messenger.fail('conflict', 'Session code is already taken');
end
$$;

-- Change a live session's title, close it or open it again, as its host; what is so already changes nothing.
-- Raises not_participant, forbidden.
create or replace function messenger.change_session(
    p_conversation_id uuid, p_set_title boolean, p_title text, p_set_closed boolean, p_closed boolean
)
returns setof messenger.messages
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    mine record;
    before messenger.conversations;
    titles boolean;
    closes boolean;
    me constant bigint := messenger.current_user_id();
    my_name constant text := messenger.display_name(me);
begin
    mine := messenger.lock_mine(p_conversation_id);
    if mine.my_role <> 'admin' then
        perform messenger.fail('forbidden', 'Only the host can change a session');
    end if;
    select c.* into before from messenger.conversations c where c.id = p_conversation_id;
    titles := p_set_title and before.title is distinct from p_title;
    closes := p_set_closed and (before.closed_at is not null) <> p_closed;
    if not (titles or closes) then
        return;
    end if;
    update messenger.conversations c
    set title = case when titles then p_title else c.title end,
        closed_at = case when closes then case when p_closed then clock_timestamp() end else c.closed_at end,
        updated_at = clock_timestamp()
    where c.id = p_conversation_id;
    return next messenger.tell(
        p_conversation_id,
        case when closes then format('%s %s the session', my_name, case when p_closed then 'closed' else 'opened' end)
            else format('%s changed the title to %s', my_name, p_title) end,
        jsonb_build_object('event', 'conversation.updated', 'by', me)
            || case when titles then jsonb_build_object('title', p_title) else '{}' end
            || case when closes then jsonb_build_object('status', case when p_closed then 'closed' else 'active' end) else '{}' end
    );
end
$$;

-- A guest comes into a live session: he is made, let in, and told in the log. Raises not_found, nickname_taken.
create or replace function messenger.join_session(
    p_conversation_id uuid, p_nickname text, p_nickname_key text, p_lasts interval,
    out user_id bigint, out public_id uuid, out joined_at timestamptz, out title text, out told messenger.messages
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- The head first: whoever closes the session or takes the nickname just now is waited for.
    perform from messenger.conversation_heads h
    join messenger.conversations c on c.id = h.conversation_id
    where h.conversation_id = p_conversation_id and c.join_code is not null
    for update of h;
    select c.title into title from messenger.conversations c
    where c.id = p_conversation_id and c.join_code is not null and c.closed_at is null;
    if not found then
        perform messenger.fail('not_found', 'Session not found');
    elsif exists (
        select from messenger.conversation_departures d
        where d.conversation_id = p_conversation_id and d.nickname_key = p_nickname_key
    ) or exists (
        select from messenger.conversation_participants p
        where p.conversation_id = p_conversation_id and (
            p.nickname_key = p_nickname_key
            -- Nor does a guest pass for the host, or anybody else who has an account; lower() knows less than case-folding does.
            or (p.guest_until is null and replace(translate(
                lower(normalize(trim(messenger.display_name(p.user_id)), nfc)), 'ς', 'σ'), 'ß', 'ss'
            ) in (lower(p_nickname), p_nickname_key))
        )
    ) then
        perform messenger.fail('nickname_taken');
    end if;
    select g.user_id, g.public_id into join_session.user_id, join_session.public_id from messenger.make_guest(p_nickname) as g;
    perform messenger.enter(user_id, array[p_conversation_id]);
    told := messenger.let_in(p_conversation_id, user_id, 'member', 1);
    update messenger.conversation_participants p
    set nickname_key = p_nickname_key, guest_until = p.joined_at + p_lasts
    where p.conversation_id = p_conversation_id and p.user_id = join_session.user_id
    returning p.joined_at into joined_at;
end
$$;

-- A new guest, with an id above 2^52, where no host that counts comes to. Not granted.
create or replace function messenger.make_guest(p_name text, out user_id bigint, out public_id uuid)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    loop
        insert into messenger.users as u (id, kind, name, name_is_set)
        values ((1::bigint << 52) + floor(random() * (1::bigint << 52))::bigint, 'guest', p_name, true)
        on conflict do nothing
        returning u.id, u.public_id into user_id, public_id;
        exit when user_id is not null;
    end loop;
end
$$;

-- Who is in a live session of mine, and who was: what they said is still told in their names.
create or replace function messenger.session_people(p_conversation_id uuid)
returns table (user_id bigint, public_id uuid, nickname text, is_host boolean, is_in boolean, last_seen_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select u.id, u.public_id, messenger.display_name(u.id), coalesce(p.role = 'admin', false), p.role is not null, u.last_seen_at
    from (
        select p.user_id from messenger.conversation_participants p where p.conversation_id = p_conversation_id
        union select d.user_id from messenger.conversation_departures d where d.conversation_id = p_conversation_id
    ) as who
    join messenger.users u on u.id = who.user_id
    left join messenger.conversation_participants p on p.conversation_id = p_conversation_id and p.user_id = u.id
    where messenger.my_first_seq(p_conversation_id) is not null
        and exists (select from messenger.conversations c where c.id = p_conversation_id and c.join_code is not null)
$$;

-- The last messages of a live session of mine with what their senders are called, newest first; those who have gone too.
create or replace function messenger.session_history(p_conversation_id uuid, p_most integer)
returns table (id uuid, nickname text, content text, message_type text, created_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select m.id, messenger.display_name(m.sender_id), m.content, m.message_type, m.created_at
    from messenger.messages m
    where m.conversation_id = p_conversation_id and m.seq >= messenger.my_first_seq(p_conversation_id)
        and m.message_type <> 'system' and m.deleted_at is null
    order by m.seq desc limit p_most
$$;

-- Mark a question answered, as the host; once is enough. A change of the question like every other.
-- Raises message_not_found, forbidden.
create or replace function messenger.answer_question(p_message_id uuid, out moved boolean, out message messenger.messages)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    me constant bigint := messenger.current_user_id();
begin
    select m.* into message from messenger.messages m
    where m.conversation_id = messenger.conversation_of_message(p_message_id) and m.id = p_message_id
    for no key update;
    if message.id is null or message.deleted_at is not null or message.message_type <> 'question' then
        perform messenger.fail('message_not_found', 'Question not found');
    elsif not exists (
        select from messenger.conversation_participants p
        where p.conversation_id = message.conversation_id and p.user_id = me and p.role = 'admin'
    ) then
        perform messenger.fail('forbidden', 'Only the host can mark a question answered');
    end if;
    moved := not message.metadata ? 'answered_at';
    if moved then
        update messenger.messages m
        set metadata = m.metadata || jsonb_build_object(
            'answered_by', me,
            'answered_at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        )
        where m.conversation_id = message.conversation_id and m.id = message.id
        returning m.* into message;
    end if;
end
$$;

-- What guests' tokens are signed with.
create or replace function messenger.guest_key() returns bytea
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select i.guest_key from messenger.installation i $$;

-- Guests whose time is over.
create or replace function messenger.idle_guests(p_most integer)
returns table (conversation_id uuid, user_id bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select p.conversation_id, p.user_id from messenger.conversation_participants p
    where p.guest_until < clock_timestamp() order by p.guest_until limit p_most
$$;

-- An open room and the guest in whose name it speaks; made where there is none and p_make says so, else no ids. Whoever enters
-- keeps it for a while.
create or replace function messenger.enter_open_room(
    p_open_room text, p_make boolean, out conversation_id uuid, out user_id bigint
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    loop
        select c.id, c.created_by into enter_open_room.conversation_id, enter_open_room.user_id
        from messenger.conversations c where c.open_room = p_open_room;
        if found then
            -- Whoever clears it away locks its head first, too.
            update messenger.conversation_heads h set active_at = clock_timestamp()
            where h.conversation_id = enter_open_room.conversation_id;
            exit when found;
        elsif not p_make then
            exit;
        else
            begin
                user_id := (messenger.make_guest(null)).user_id;
                perform messenger.enter(user_id);
                conversation_id := (messenger.create_conversation('room', null, '{}', 'all', '{}', false)).conversation_id;
                update messenger.conversations c set open_room = p_open_room where c.id = enter_open_room.conversation_id;
                exit;
            exception
                when unique_violation then
                    null; -- somebody else made it a moment ago
            end;
        end if;
    end loop;
end
$$;

-- Whether an open room has no traffic: for so long, or an hour where nobody ever said anything. Not granted.
create or replace function messenger.is_idle(p_head messenger.conversation_heads, p_idle interval) returns boolean
language sql stable
as $$
    select p_head.active_at < clock_timestamp() - case p_head.last_seq when 0 then least(p_idle, interval '1 hour') else p_idle end
$$;

-- The last messages of a room of mine, newest first.
create or replace function messenger.open_room_window(p_user_id bigint, p_conversation_id uuid, p_most integer)
returns setof messenger.messages
language plpgsql stable
as $$
begin
    perform messenger.enter(p_user_id, array[p_conversation_id]);
    return query select * from messenger.messages m
        where m.conversation_id = p_conversation_id and m.message_type <> 'system' and m.deleted_at is null
        order by m.seq desc limit p_most;
end
$$;

-- Open rooms that nobody came into or said anything in for so long.
create or replace function messenger.idle_open_rooms(p_idle interval, p_most integer)
returns table (conversation_id uuid, user_id bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select c.id, c.created_by
    from messenger.conversations c
    join messenger.conversation_heads h on h.conversation_id = c.id
    where c.open_room is not null and messenger.is_idle(h, p_idle)
    order by h.active_at limit p_most
$$;

-- Clear an open room away that is still idle, so many messages at once; true once nothing of it is left but its guest, whom it
-- would take a look at every message to remove.
create or replace function messenger.clear_open_room(p_conversation_id uuid, p_idle interval, p_most integer) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform from messenger.conversation_heads h
    join messenger.conversations c on c.id = h.conversation_id
    where h.conversation_id = p_conversation_id and c.open_room is not null and messenger.is_idle(h, p_idle)
    for update of h;
    if not found then
        return true;
    end if;
    delete from messenger.messages m
    where m.conversation_id = p_conversation_id and m.id = any (array(
        select o.id from messenger.messages o where o.conversation_id = p_conversation_id order by o.seq limit p_most
    ));
    if exists (select from messenger.messages m where m.conversation_id = p_conversation_id) then
        return false;
    end if;
    delete from messenger.conversations c where c.id = p_conversation_id;
    return true;
end
$$;
