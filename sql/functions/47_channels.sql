-- Channels, and people, as the host application keeps them through the Platform API. What goes by a channel_url or by the host's own
-- words for people is on nobody's behalf, as in 60_people.sql; everything that somebody said is read as an admin of its channel.

-- Those of these people whom there are: by integers in canonical form, or by the host's own ids. Neither guests nor who was deleted.
create or replace function messenger.people_called(p_names text[]) returns table (named text, user_id bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select wanted.named, known.id
    from unnest(p_names) as wanted (named)
    cross join lateral (
        select u.id, u.kind, u.deleted_at from messenger.users u
        where u.id = case when wanted.named ~ '^[0-9]+$' then wanted.named::bigint end
        union all
        select u.id, u.kind, u.deleted_at from messenger.users u where u.external_id = wanted.named
    ) as known
    where known.kind = 'person' and known.deleted_at is null
$$;

-- The same, and whom there is not is made where p_provision says so. Raises user_not_found.
create or replace function messenger.call_people(p_names text[], p_provision boolean) returns table (named text, user_id bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    missing text;
begin
    -- Integers first and in their order, as everywhere: two that make the same people must not wait for each other.
    for missing in
        select wanted.n from (select distinct n from unnest(p_names) as n) as wanted
        where wanted.n not in (select c.named from messenger.people_called(p_names) as c)
        order by case when wanted.n ~ '^[0-9]+$' then wanted.n::bigint end, wanted.n
    loop
        if not p_provision then
            perform messenger.fail('user_not_found');
        elsif missing !~ '^[0-9]+$' then
            perform messenger.user_named(missing);
        else
            insert into messenger.users as u (id) values (missing::bigint)
            on conflict (id) do update set deleted_at = null where u.kind = 'person';
        end if;
    end loop;
    return query select c.named, c.user_id from messenger.people_called(p_names) as c;
    if exists (select from unnest(p_names) as n where n not in (select c.named from messenger.people_called(p_names) as c)) then
        perform messenger.fail('user_not_found'); -- a guest
    end if;
end
$$;

-- People as the host application keeps them; those too who were deleted, whose messages are still there.
create or replace function messenger.accounts(p_user_ids bigint[])
returns table (
    id bigint, external_id text, name text, avatar_url text, metadata jsonb, created_at timestamptz, last_seen_at timestamptz,
    is_deleted boolean
)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select u.id, u.external_id, u.name, u.avatar_url, u.metadata, u.created_at, u.last_seen_at, u.deleted_at is not null
    from messenger.users u where u.id = any (p_user_ids) and u.kind = 'person' order by u.id
$$;

-- A page of everybody there is, from above an id on.
create or replace function messenger.accounts_page(p_above bigint, p_most integer) returns setof bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select u.id from messenger.users u
    where u.id > p_above and u.kind = 'person' and u.deleted_at is null
    order by u.id limit p_most
$$;

-- Somebody new, or who was deleted before, as the host application wants him. Raises conflict where he is there already.
create or replace function messenger.make_account(
    p_named text, p_name text, p_avatar_url text, p_metadata jsonb, out user_id bigint, out profile_version bigint
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if p_named ~ '^[0-9]+$' then
        insert into messenger.users as u (id) values (p_named::bigint)
        on conflict (id) do update set deleted_at = null, created_at = now() where u.kind = 'person' and u.deleted_at is not null
        returning u.id into user_id;
    else
        loop
            exit when exists (select from messenger.users u where u.external_id = p_named);
            insert into messenger.users as u (id, external_id)
            values ((1::bigint << 52) + floor(random() * (1::bigint << 52))::bigint, p_named)
            on conflict do nothing
            returning u.id into user_id;
            exit when user_id is not null;
        end loop;
    end if;
    if user_id is null then
        perform messenger.fail('conflict', 'user_id is taken');
    end if;
    profile_version := messenger.change_account(user_id, array['name', 'avatar_url', 'metadata'], p_name, p_avatar_url, p_metadata);
end
$$;

-- Change of somebody what p_set names: `name`, `avatar_url`, `metadata`. The version of his profile where that changed.
create or replace function messenger.change_account(
    p_user_id bigint, p_set text[], p_name text, p_avatar_url text, p_metadata jsonb, out profile_version bigint
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    profile_version := (messenger.put_user(p_user_id, null, array_remove(p_set, 'metadata'), p_name, p_avatar_url, null)).profile_version;
    if 'metadata' = any (p_set) then
        update messenger.users u set metadata = p_metadata where u.id = p_user_id;
    end if;
end
$$;

-- Delete somebody: what he said stays, and names nobody. His tokens count no more, though another gets his name. No row where there
-- is no such person.
create or replace function messenger.delete_account(p_user_id bigint)
returns table (tokens_not_before timestamptz, profile_version bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    named text;
begin
    select u.external_id into named from messenger.users u where u.id = p_user_id for no key update;
    update messenger.users u
    set name = null, name_is_set = false, avatar_url = null, avatar_is_set = false, metadata = '{}', external_id = null,
        deleted_at = clock_timestamp(), profile_version = u.profile_version + 1, profile_in = pg_current_xact_id(),
        touched = pg_current_xact_id()
    where u.id = p_user_id and u.kind = 'person' and u.deleted_at is null
    returning u.profile_version into profile_version;
    if found then
        tokens_not_before := messenger.revoke_tokens(p_user_id);
        if named is not null then
            insert into messenger.deleted_names as d (external_id, tokens_not_before)
            values (named, delete_account.tokens_not_before)
            on conflict on constraint deleted_names_pk do update set tokens_not_before = excluded.tokens_not_before;
        end if;
        return next;
    end if;
end
$$;

-- Whoever gets the name of somebody deleted does not get his tokens. After it is his: whoever deletes the other was waited for.
create or replace function messenger.inherit_no_tokens() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update messenger.users u set tokens_not_before = greatest(u.tokens_not_before, d.tokens_not_before)
    from messenger.deleted_names d
    where d.external_id = new.external_id and u.id = new.id;
    return null;
end
$$;

create or replace trigger inherit_no_tokens after insert or update of external_id on messenger.users
for each row when (new.external_id is not null) execute function messenger.inherit_no_tokens();

-- Nobody of them is deleted until the end of the transaction: whoever deletes him finds what he was brought into. Raises
-- user_not_found for who was, or is a guest. Not granted.
create or replace function messenger.hold_accounts(p_user_ids bigint[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    held bigint;
begin
    for held in select distinct id from unnest(p_user_ids) as id order by id loop
        perform from messenger.users u where u.id = held and u.kind = 'person' and u.deleted_at is null for share;
        if not found then
            perform messenger.fail('user_not_found', '"User" not found.');
        end if;
    end loop;
end
$$;

-- Whether an entry is a message as the vendor knows them: not one of those by which a log tells who came and went.
create or replace function messenger.is_said(p_message messenger.messages) returns boolean
language sql immutable
return p_message.deleted_at is null and (p_message.message_type <> 'system' or p_message.metadata ? 'admin_message');

-- Channels by their names, each with an admin in whose name the host application acts there; none where nobody is left in it.
-- One is_arriving as long as its first import has not come to its end.
create or replace function messenger.channels_called(p_channel_urls text[])
returns table (
    conversation_id uuid, channel_url text, channel_no bigint, title text, metadata jsonb, created_by bigint, created_at timestamptz,
    participant_count integer, admin_id bigint, is_arriving boolean
)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select c.id, c.channel_url, c.channel_no, c.title, c.metadata, c.created_by, c.created_at, h.participant_count, (
        select p.user_id from messenger.conversation_participants p
        where p.conversation_id = c.id and p.role = 'admin' order by p.joined_at, p.user_id limit 1
    ), exists (select from messenger.imported_channels i where i.conversation_id = c.id and not i.is_whole)
    from messenger.conversations c
    join messenger.conversation_heads h on h.conversation_id = c.id
    where c.channel_url = any (p_channel_urls)
$$;

-- A page of channels, from below a place on: the newest first, or those in which something was said last. p_user_ids and
-- p_channel_urls narrow to channels of some people, or to some channels; p_empty: those too in which nothing was said.
create or replace function messenger.channels_page(
    p_by_message boolean, p_before timestamptz, p_before_id uuid, p_user_ids bigint[], p_channel_urls text[], p_empty boolean,
    p_most integer
)
returns table (channel_url text, at timestamptz, conversation_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select found.channel_url, found.at, found.id
    from (
        select c.id, c.channel_url, case when p_by_message then coalesce(said.created_at, c.created_at) else c.created_at end as at
        from messenger.conversations c
        left join lateral (
            select m.created_at from messenger.messages m
            where m.conversation_id = c.id and messenger.is_said(m) order by m.seq desc limit 1
        ) as said on p_by_message or not p_empty
        where c.channel_no is not null
            and (p_channel_urls is null or c.channel_url = any (p_channel_urls))
            and (p_user_ids is null or c.id in (
                select p.conversation_id from messenger.conversation_participants p where p.user_id = any (p_user_ids)
            ))
            and (p_empty or said.created_at is not null)
    ) as found
    where p_before is null or (found.at, found.id) < (p_before, p_before_id)
    order by found.at desc, found.id desc
    limit p_most
$$;

-- Make a channel, as its first admin. p_created_by: who invited the others, though he need not be in it himself. Raises conflict
-- where the name is taken, user_not_found.
create or replace function messenger.create_channel(
    p_channel_url text, p_title text, p_metadata jsonb, p_user_ids bigint[], p_operator_ids bigint[], p_created_by bigint
)
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    made uuid;
begin
    if exists (select from messenger.conversations c where c.channel_url = p_channel_url) then
        perform messenger.fail('conflict', 'channel_url is taken'); -- without a number, of which there are not so many
    end if;
    perform messenger.hold_accounts(p_user_ids);
    select c.conversation_id into made
    from messenger.create_conversation('group', p_title, p_metadata, 'all', p_user_ids, false) as c;
    update messenger.conversations c
    set channel_url = p_channel_url, channel_no = nextval('messenger.channel_numbers'), created_by = p_created_by
    where c.id = made;
    update messenger.conversation_participants p set role = 'admin'
    where p.conversation_id = made and p.user_id = any (p_operator_ids);
    return made;
exception
    when unique_violation then
        perform messenger.fail('conflict', 'channel_url is taken');
end
$$;

-- Change a channel's title, and of its metadata what p_changes names, as an admin; a null takes away. Raises not_participant,
-- forbidden.
create or replace function messenger.change_channel(
    p_conversation_id uuid, p_set_title boolean, p_title text, p_changes jsonb
)
returns setof messenger.messages
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform messenger.lock_mine(p_conversation_id); -- nobody changes it between the reading of its metadata and the writing
    return query
        select told.*
        from messenger.conversations c
        cross join lateral messenger.update_conversation(
            c.id, p_set_title, p_title,
            (c.metadata || p_changes) - array(select f.key from jsonb_each(p_changes) as f where f.value = 'null')
        ) as told
        where c.id = p_conversation_id;
end
$$;

-- Let people into a channel, as an admin. Who is there already is passed over. Raises not_participant, forbidden, user_not_found.
create or replace function messenger.invite_to_channel(p_conversation_id uuid, p_user_ids bigint[])
returns setof messenger.messages
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if messenger.my_first_seq(p_conversation_id) is null then
        perform messenger.fail('not_participant'); -- before anything is said of those who are named
    end if;
    perform messenger.hold_accounts(p_user_ids);
    return query select * from messenger.add_participants(p_conversation_id, p_user_ids, 'member', false);
end
$$;

-- Bring somebody into a channel that everybody has left, as its admin. Nothing where it has people. Raises user_not_found.
create or replace function messenger.revive_channel(p_channel_url text, p_user_id bigint) returns setof messenger.messages
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    empty uuid;
begin
    empty := messenger.lock_empty_channel(p_channel_url);
    if empty is not null then
        perform messenger.hold_accounts(array[p_user_id]);
        perform messenger.enter(p_user_id, array[empty]);
        return next messenger.let_in(empty, p_user_id, 'admin', 1);
    end if;
end
$$;

-- Delete a channel that everybody has left, as messenger.delete_conversation does those with people; null where it has some.
create or replace function messenger.delete_empty_channel(p_channel_url text) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    empty constant uuid := messenger.lock_empty_channel(p_channel_url);
begin
    delete from messenger.messages m where m.conversation_id = empty;
    delete from messenger.conversation_departures d where d.conversation_id = empty;
    delete from messenger.missing_messages n where n.conversation_id = empty;
    update messenger.conversations c
    set title = null, metadata = '{}', channel_url = null, channel_no = null, deleted_at = clock_timestamp()
    where c.id = empty;
    update messenger.conversation_heads h set touched = pg_current_xact_id() where h.conversation_id = empty;
    return empty;
end
$$;

-- Lock a channel that everybody has left; null where it has people, or is none. Not granted.
create or replace function messenger.lock_empty_channel(p_channel_url text) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    found_id uuid;
begin
    select h.conversation_id into found_id
    from messenger.conversation_heads h join messenger.conversations c on c.id = h.conversation_id
    where c.channel_url = p_channel_url for update of h;
    if exists (select from messenger.conversation_participants p where p.conversation_id = found_id) then
        found_id := null;
    end if;
    return found_id;
end
$$;

-- Say something in a channel that is nobody's word but the host application's, as an admin. Raises not_participant, forbidden.
create or replace function messenger.announce_in_channel(
    p_conversation_id uuid, p_content text, p_custom_type text, p_data text
)
returns messenger.messages
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform messenger.lock_channel_as_admin(p_conversation_id);
    return messenger.tell(p_conversation_id, p_content, jsonb_strip_nulls(
        jsonb_build_object('admin_message', true, 'custom_type', p_custom_type, 'data', p_data)
    ));
end
$$;

-- Take that back, as an admin: no row where it is no such message. Raises not_participant, forbidden.
create or replace function messenger.retract_in_channel(p_conversation_id uuid, p_message_id uuid) returns setof messenger.messages
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform messenger.lock_channel_as_admin(p_conversation_id);
    return query
        update messenger.messages m
        set content = null, mentions = '{}', attachments = '[]', metadata = '{}',
            deleted_at = clock_timestamp(), deleted_by = messenger.current_user_id()
        where m.conversation_id = p_conversation_id and m.id = p_message_id and m.deleted_at is null
            and m.message_type = 'system' and m.metadata ? 'admin_message'
        returning m.*;
end
$$;

-- Raises not_participant, forbidden. Not granted.
create or replace function messenger.lock_channel_as_admin(p_conversation_id uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if (messenger.lock_mine(p_conversation_id)).my_role <> 'admin'
        or not exists (select from messenger.conversations c where c.id = p_conversation_id and c.channel_url is not null) then
        perform messenger.fail('forbidden', 'Only admins of a channel can do this');
    end if;
end
$$;

-- Under which ids messages of a conversation of mine came over from the vendor.
create or replace function messenger.vendor_ids(p_conversation_id uuid, p_message_ids uuid[])
returns table (message_id uuid, vendor_id bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp rows 20
as $$
    select i.message_id, i.vendor_id from messenger.imported_messages i
    where i.conversation_id = p_conversation_id and i.message_id = any (p_message_ids)
        and messenger.my_first_seq(p_conversation_id) is not null
$$;

-- A message of a conversation of mine: by its seq, or by the id under which it came over.
create or replace function messenger.channel_message(p_user_id bigint, p_conversation_id uuid, p_seq bigint, p_vendor_id bigint)
returns setof messenger.messages
language plpgsql stable
as $$
begin
    perform messenger.enter(p_user_id, array[p_conversation_id]);
    return query
        select m.* from messenger.messages m
        where m.conversation_id = p_conversation_id and messenger.is_said(m) and (
            m.seq = p_seq or m.id = (select messenger.message_by_vendor_id(p_conversation_id, p_vendor_id))
        )
        limit 1;
end
$$;

-- Which message of a conversation of mine came over under an id.
create or replace function messenger.message_by_vendor_id(p_conversation_id uuid, p_vendor_id bigint) returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select i.message_id from messenger.imported_messages i
    where i.conversation_id = p_conversation_id and i.vendor_id = p_vendor_id
        and messenger.my_first_seq(p_conversation_id) is not null
$$;

-- What was said last in each of these conversations, as one of theirs sees it.
create or replace function messenger.last_said(p_user_ids bigint[], p_conversation_ids uuid[])
returns table (message messenger.messages, vendor_id bigint)
language plpgsql stable
as $$
begin
    for n in 1 .. coalesce(array_length(p_user_ids, 1), 0) loop
        perform messenger.enter(p_user_ids[n], array[p_conversation_ids[n]]);
        return query
            select m, (select v.vendor_id from messenger.vendor_ids(m.conversation_id, array[m.id]) as v)
            from messenger.messages m
            where m.conversation_id = p_conversation_ids[n] and messenger.is_said(m)
            order by m.seq desc limit 1;
    end loop;
end
$$;

-- The lowest seq of a conversation of mine at or after a time, by halving: a log is in the order of time, unless it is jumbled.
create or replace function messenger.seq_at(p_conversation_id uuid, p_at timestamptz) returns bigint
language plpgsql stable
as $$
declare
    low bigint := messenger.my_first_seq(p_conversation_id);
    high bigint := 1 + (select h.last_seq from messenger.conversation_heads h where h.conversation_id = p_conversation_id);
    middle bigint;
begin
    while low < high loop
        middle := (low + high) / 2;
        if (select m.created_at from messenger.messages m where m.conversation_id = p_conversation_id and m.seq = middle) < p_at then
            low := middle + 1;
        else
            high := middle;
        end if;
    end loop;
    return low;
end
$$;

-- What was said around a place: a millisecond, or a message. Before it p_before entries, after it p_after, and what is there itself
-- where p_at_it says so. In ascending seq; where an import has jumbled the times, in the order of time, for which all of it is read.
-- Planned each time: a plan for every filter at once would not begin at the place, but always read the whole log.
create or replace function messenger.said_around(
    p_user_id bigint, p_conversation_id uuid, p_at timestamptz, p_seq bigint, p_before integer, p_after integer, p_at_it boolean,
    p_types text[], p_but_types text[], p_custom_types text[], p_sender_ids bigint[]
)
returns table (message messenger.messages, vendor_id bigint)
language plpgsql stable set plan_cache_mode = force_custom_plan
as $$
declare
    jumbled boolean;
    begins bigint := p_seq;
    ends bigint := p_seq + 1;
    begins_at timestamptz := p_at;
    ends_at timestamptz := p_at + interval '1 millisecond';
begin
    perform messenger.enter(p_user_id, array[p_conversation_id]);
    if messenger.my_first_seq(p_conversation_id) is null then
        perform messenger.fail('not_participant');
    end if;
    select h.is_jumbled into jumbled from messenger.conversation_heads h where h.conversation_id = p_conversation_id;
    if jumbled and p_at is null then
        select m.created_at, m.created_at into begins_at, ends_at
        from messenger.messages m where m.conversation_id = p_conversation_id and m.seq = p_seq;
    elsif jumbled then
        begins := 0;
        ends := 0;
    elsif p_at is not null then
        begins := messenger.seq_at(p_conversation_id, begins_at);
        ends := messenger.seq_at(p_conversation_id, ends_at);
    end if;
    return query
        with wanted as not materialized (
            select m.seq as place, case when jumbled then m.created_at end as at, m as entry,
                case when jumbled then (m.created_at, m.seq) < (begins_at, begins) else m.seq < begins end as is_before,
                case when jumbled then (m.created_at, m.seq) >= (ends_at, ends) else m.seq >= ends end as is_after
            from messenger.messages m
            where m.conversation_id = p_conversation_id and messenger.is_said(m)
                and (p_types is null or m.message_type = any (p_types))
                and (p_but_types is null or m.message_type <> all (p_but_types))
                and (p_custom_types is null or coalesce(m.metadata ->> 'custom_type', '') = any (p_custom_types))
                and (p_sender_ids is null or (m.sender_id = any (p_sender_ids) and m.message_type <> 'system'))
        ), found as (
            (select w.at, w.entry from wanted w where w.is_before order by w.at desc, w.place desc limit p_before)
            union all
            (select w.at, w.entry from wanted w where not w.is_before and not w.is_after and p_at_it)
            union all
            (select w.at, w.entry from wanted w where w.is_after order by w.at, w.place limit p_after)
        ), vendors as (
            select v.message_id, v.vendor_id
            from messenger.vendor_ids(p_conversation_id, array(select (f.entry).id from found f)) as v
        )
        select f.entry, v.vendor_id from found f left join vendors v on v.message_id = (f.entry).id
        order by f.at, (f.entry).seq;
end
$$;
