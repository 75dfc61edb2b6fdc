-- Bringing a chat over from elsewhere: people, channels, and messages with their times. For the owner only, who writes in everybody's
-- name and judges nobody; each is one transaction, and does nothing the second time. What was changed here stays.

-- Whether who asks is the owner himself: as another role that may become him he would be judged as everybody. Not granted.
create or replace function messenger.may_import() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config('messenger.importing', 'on', true);
    return messenger.is_importing();
end
$$;

-- Of what the vendor says now, what is to be set here: what nothing stands for here and never did, and what is still as it was taken over
-- last. Not granted.
create or replace function messenger.followed(p_here jsonb, p_told jsonb, p_now jsonb) returns jsonb
language sql immutable
as $$
    select coalesce(jsonb_object_agg(key, value), '{}')
    from jsonb_each(p_now)
    where case
        when p_told ? key then coalesce(p_here -> key, 'null') = p_told -> key
        else coalesce(p_here -> key, 'null') in ('null', '""', '{}')
    end
$$;

-- Make people known, as the vendor tells of them: `vendor_id`, `id` or `external_id`, `created_at`, and in `profile` what is said of
-- name, avatar_url and metadata. Whoever was deleted here stays so. Not granted.
create or replace function messenger.import_users(p_users jsonb)
returns table (vendor_id text, user_id bigint, is_new boolean, is_changed boolean)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    item record;
    here messenger.users;
    after messenger.users;
    before jsonb;
    taken jsonb;
begin
    -- In one order: two that bring the same people must not wait for each other.
    for item in
        select u.*, coalesce(u.external_id, u.id::text) as called
        from jsonb_to_recordset(p_users) as u (
            vendor_id text, id bigint, external_id text, created_at timestamptz, profile jsonb
        )
        order by u.id, u.external_id
    loop
        select i.told into before from messenger.imported_users i where i.called = item.called;
        user_id := coalesce(
            item.id,
            (select u.id from messenger.users u where u.external_id = item.external_id),
            -- He may have been deleted here, and with him what he was called.
            (select i.user_id from messenger.imported_users i where i.called = item.called)
        );
        is_new := user_id is null;
        if is_new then
            user_id := messenger.user_named(item.external_id);
        elsif item.id is not null then
            insert into messenger.users (id) values (item.id) on conflict do nothing;
            is_new := found;
        end if;
        select u.* into here from messenger.users u where u.id = user_id for no key update;
        is_changed := false;
        if here.deleted_at is null then
            taken := messenger.followed(
                jsonb_build_object('name', here.name, 'avatar_url', here.avatar_url, 'metadata', here.metadata),
                coalesce(before, '{}'), item.profile
            );
            insert into messenger.imported_users as i (called, user_id, told) values (item.called, here.id, taken)
            on conflict on constraint imported_users_pk do update set user_id = excluded.user_id, told = i.told || excluded.told
            where (i.user_id, i.told) is distinct from (excluded.user_id, i.told || excluded.told);
            after := here;
            after.name := case when taken ? 'name' then taken ->> 'name' else here.name end;
            after.avatar_url := case when taken ? 'avatar_url' then taken ->> 'avatar_url' else here.avatar_url end;
            after.metadata := case when taken ? 'metadata' then taken -> 'metadata' else here.metadata end;
            is_changed := after is distinct from here and not is_new;
            if is_changed and (after.name, after.avatar_url) is distinct from (here.name, here.avatar_url) then
                -- Nodes have to hear of it.
                after.profile_version := here.profile_version + 1;
                after.profile_in := pg_current_xact_id();
                after.touched := pg_current_xact_id();
            end if;
            update messenger.users u
            set name = after.name, avatar_url = after.avatar_url, metadata = after.metadata,
                created_at = case when is_new then coalesce(item.created_at, u.created_at) else u.created_at end,
                profile_version = after.profile_version, profile_in = after.profile_in, touched = after.touched
            where u.id = here.id and (is_new or is_changed);
        end if;
        vendor_id := item.vendor_id;
        return next;
    end loop;
end
$$;

-- Make a channel, or find it: `channel_url`, `created_at`, `created_by`, and in `profile` what is said of title, custom_type, cover_url and
-- data; its people: `user_id`, `role`, `joined_at`. Whoever was deleted here is in none of them.
-- outcome: made; known (an import made it: it follows the vendor, and who joined there since is let in, unless he left here); native
-- (the host application made it here: nothing of it is touched); deleted (an import made it, and it was deleted here: it is made
-- again only with p_anew). Not granted.
create or replace function messenger.import_channel(
    p_channel jsonb, p_people jsonb, p_anew boolean,
    out conversation_id uuid, out outcome text, out joined integer, out is_changed boolean
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    url constant text := p_channel ->> 'channel_url';
    profile constant jsonb := jsonb_strip_nulls(p_channel -> 'profile');
    here messenger.conversations;
    after messenger.conversations;
    told jsonb;
    taken jsonb;
    newcomer record;
    entry messenger.messages;
begin
    joined := 0;
    is_changed := false;
    perform set_config('messenger.importing', 'on', true);
    if not p_anew
        and not exists (select from messenger.conversations c where c.channel_url = url)
        and exists (select from messenger.imported_channels i where i.channel_url = url) then
        outcome := 'deleted';
        return;
    end if;
    insert into messenger.conversations (
        id, type, title, metadata, history, created_by, created_at, updated_at, channel_url, channel_no
    )
    select messenger.uuid7(), 'group', profile ->> 'title', profile - 'title', 'all', (p_channel ->> 'created_by')::bigint,
        (p_channel ->> 'created_at')::timestamptz, (p_channel ->> 'created_at')::timestamptz, url,
        nextval('messenger.channel_numbers')
    -- Numbers are given once: none is taken for a channel that is here.
    where not exists (select from messenger.conversations c where c.channel_url = url)
    on conflict on constraint conversations_channel_url_unique do nothing
    returning id into conversation_id;
    if found then
        outcome := 'made';
        insert into messenger.conversation_heads (conversation_id, active_at)
        values (import_channel.conversation_id, (p_channel ->> 'created_at')::timestamptz);
        insert into messenger.conversation_participants (conversation_id, user_id, role, joined_at)
        select import_channel.conversation_id, p.user_id, p.role, p.joined_at
        from jsonb_to_recordset(p_people) as p (user_id bigint, role text, joined_at timestamptz)
        join messenger.users u on u.id = p.user_id and u.deleted_at is null
        order by p.user_id;
        get diagnostics joined = row_count;
        -- A conversation keeps at least one admin.
        update messenger.conversation_participants p set role = 'admin'
        where p.conversation_id = import_channel.conversation_id
            and p.user_id = (
                select q.user_id from messenger.conversation_participants q
                where q.conversation_id = import_channel.conversation_id
                order by q.role <> 'admin', q.user_id <> (p_channel ->> 'created_by')::bigint, q.joined_at, q.user_id limit 1
            )
            and p.role <> 'admin';
        insert into messenger.imported_channels (channel_url, conversation_id, told)
        values (url, import_channel.conversation_id, p_channel -> 'profile')
        on conflict on constraint imported_channels_pk do update
        set conversation_id = excluded.conversation_id, told = excluded.told, is_whole = false;
        return;
    end if;
    select c.* into here from messenger.conversations c where c.channel_url = url for no key update;
    conversation_id := here.id;
    select i.told into told from messenger.imported_channels i where i.channel_url = url and i.conversation_id = here.id;
    if not found then
        outcome := 'native';
        return;
    end if;
    outcome := 'known';
    perform from messenger.conversation_heads h where h.conversation_id = here.id for update;
    -- What is told in the log is told in the name of whoever made it.
    perform messenger.enter(here.created_by);
    taken := messenger.followed(here.metadata || jsonb_build_object('title', here.title), told, p_channel -> 'profile');
    after := here;
    after.title := case when taken ? 'title' then taken ->> 'title' else here.title end;
    after.metadata := (here.metadata - array(select key from jsonb_each(taken) where value = 'null'))
        || jsonb_strip_nulls(taken - 'title');
    is_changed := after is distinct from here;
    if is_changed then
        update messenger.conversations c
        set title = after.title, metadata = after.metadata, updated_at = clock_timestamp() where c.id = here.id;
        update messenger.imported_channels i set told = i.told || taken where i.channel_url = url;
        perform messenger.tell(
            here.id, format('%s changed the conversation', messenger.display_name(here.created_by)),
            jsonb_build_object('event', 'conversation.updated', 'by', here.created_by)
                || case when taken ? 'title' then jsonb_build_object('title', after.title) else '{}' end
        );
    end if;
    for newcomer in
        select p.user_id, p.role from jsonb_to_recordset(p_people) as p (user_id bigint, role text)
        join messenger.users u on u.id = p.user_id and u.deleted_at is null
        where not exists (
                select from messenger.conversation_participants q where q.conversation_id = here.id and q.user_id = p.user_id
            )
            and not exists (
                select from messenger.conversation_departures d where d.conversation_id = here.id and d.user_id = p.user_id
            )
        order by p.user_id
    loop
        entry := messenger.let_in(here.id, newcomer.user_id, newcomer.role, 1);
        -- What was said before he came he has read there.
        insert into messenger.read_receipts (conversation_id, user_id, message_id, last_read_seq)
        values (here.id, newcomer.user_id, entry.id, entry.seq);
        joined := joined + 1;
    end loop;
end
$$;

-- Bring messages over, in the order given: `vendor_id`, `sender_id`, `message_type`, `content`, `metadata`, `mentions`, `parent` (a
-- vendor_id), `created_at`, `edited_at`, `reactions` (`emoji`, `user_ids`), and `files`: as attachments of a foreign address, which is
-- noted where it `is_missing` here, or, with an `id`, such whose bytes are in the storage. One that came before is passed over. Who
-- has nothing unread before has nothing unread after. Which ones did not come is kept: `vendor_id`, `reason`. `gone`: the conversation
-- was deleted meanwhile. Not granted.
create or replace function messenger.import_messages(
    p_conversation_id uuid, p_messages jsonb, p_missing jsonb,
    out brought integer, out parentless integer, out gone boolean
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    people bigint[];
    caught_up bigint[];
    item record;
    new_id uuid;
    parent_id uuid;
    last_id uuid;
begin
    brought := 0;
    parentless := 0;
    perform set_config('messenger.importing', 'on', true);
    -- One at a time: of two imports the second finds what the first one brought.
    perform from messenger.conversation_heads h where h.conversation_id = p_conversation_id for update;
    gone := not exists (select from messenger.conversations c where c.id = p_conversation_id and c.deleted_at is null);
    if gone then
        return;
    end if;
    select coalesce(array_agg(p.user_id), '{}'), coalesce(array_agg(p.user_id) filter (where not exists (
        select from messenger.messages m
        where m.conversation_id = p_conversation_id and m.seq > coalesce(r.last_read_seq, 0) and m.seq >= p.first_seq
            and m.message_type <> 'system' and m.deleted_at is null and m.sender_id <> p.user_id
    )), '{}')
    into people, caught_up
    from messenger.conversation_participants p
    left join messenger.read_receipts r on r.conversation_id = p.conversation_id and r.user_id = p.user_id
    where p.conversation_id = p_conversation_id;
    for item in
        select m.* from rows from (jsonb_to_recordset(p_messages) as (
            vendor_id bigint, sender_id bigint, message_type text, content text, metadata jsonb, mentions bigint[],
            parent bigint, created_at timestamptz, edited_at timestamptz, reactions jsonb, files jsonb
        )) with ordinality as m (
            vendor_id, sender_id, message_type, content, metadata, mentions, parent, created_at, edited_at, reactions, files, place
        )
        order by m.place
    loop
        continue when exists (
            select from messenger.imported_messages i
            where i.conversation_id = p_conversation_id and i.vendor_id = item.vendor_id
        );
        parent_id := (
            select i.message_id from messenger.imported_messages i
            where i.conversation_id = p_conversation_id and i.vendor_id = item.parent
        );
        parentless := parentless + (item.parent is not null and parent_id is null)::integer;
        new_id := messenger.uuid7();
        insert into messenger.messages (
            conversation_id, id, sender_id, message_type, content, reply_to, mentions, attachments, metadata, created_at, edited_at,
            reactions
        ) values (
            p_conversation_id, new_id, item.sender_id, item.message_type, item.content, parent_id,
            array(select id from unnest(item.mentions) with ordinality as n (id, place) where id = any (people) order by place),
            messenger.import_files(item.files, item.sender_id, item.created_at), item.metadata, item.created_at, item.edited_at,
            coalesce((
                select jsonb_object_agg(r ->> 'emoji', jsonb_array_length(r -> 'user_ids'))
                from jsonb_array_elements(item.reactions) as r
            ), '{}')
        );
        insert into messenger.imported_messages (conversation_id, vendor_id, message_id)
        values (p_conversation_id, item.vendor_id, new_id);
        insert into messenger.reactions (conversation_id, message_id, user_id, emoji, created_at)
        select p_conversation_id, new_id, who.id::bigint, r ->> 'emoji', item.created_at
        from jsonb_array_elements(item.reactions) as r, jsonb_array_elements(r -> 'user_ids') as who (id);
        insert into messenger.missing_files (conversation_id, message_id, place, url)
        select p_conversation_id, new_id, f.place - 1, f.file ->> 'url'
        from jsonb_array_elements(item.files) with ordinality as f (file, place) where f.file ? 'is_missing';
        brought := brought + 1;
        last_id := new_id;
    end loop;
    insert into messenger.missing_messages as n (conversation_id, vendor_id, reason)
    select p_conversation_id, m.vendor_id, m.reason
    from jsonb_to_recordset(p_missing) as m (vendor_id bigint, reason text)
    order by m.vendor_id
    on conflict on constraint missing_messages_pk do update set reason = excluded.reason where n.reason <> excluded.reason;
    delete from messenger.missing_messages n
    using messenger.imported_messages i
    where n.conversation_id = p_conversation_id and i.conversation_id = n.conversation_id and i.vendor_id = n.vendor_id;
    insert into messenger.read_receipts as r (conversation_id, user_id, message_id, last_read_seq, read_at)
    select m.conversation_id, one.user_id, m.id, m.seq, m.created_at
    from messenger.messages m, unnest(caught_up) as one (user_id)
    where m.conversation_id = p_conversation_id and m.id = last_id
    order by one.user_id
    on conflict on constraint read_receipts_pk do update
    set message_id = excluded.message_id, last_read_seq = excluded.last_read_seq, read_at = excluded.read_at
    where r.last_read_seq < excluded.last_read_seq;
end
$$;

-- The attachments of a message with these files: those elsewhere as they are told of, those here by their rows, of which there is one a
-- source. Raises conflict where one that was known is not any more. Not granted.
create or replace function messenger.import_files(p_files jsonb, p_sender_id bigint, p_created_at timestamptz) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    attachments jsonb := '[]';
    file jsonb;
    upload_id uuid;
begin
    for file in select value from jsonb_array_elements(p_files) loop
        if not file ? 'id' then
            attachments := attachments || (file - 'is_missing');
            continue;
        end if;
        insert into messenger.attachments (
            id, uploaded_by, name, mime_type, size, width, height, has_thumbnail, source, created_at
        )
        select f.id, p_sender_id, f.name, f.mime_type, f.size, f.width, f.height, f.has_thumbnail, f.source, p_created_at
        from jsonb_to_record(file) as f (
            id uuid, name text, mime_type text, size bigint, width integer, height integer, has_thumbnail boolean, source text
        )
        where f.name is not null
        on conflict do nothing;
        select a.id into upload_id from messenger.attachments a where a.source = file ->> 'source';
        if not found then
            perform messenger.fail('conflict', 'A file was cleared away');
        end if;
        -- What it is stands in its row: the trigger of messages writes it out.
        attachments := attachments || jsonb_build_object('url', '/api/v1/messenger/attachments/' || upload_id);
    end loop;
    return attachments;
end
$$;

-- Give a message that came without one of its files this file. False where it is not missing any more. Raises conflict. Not granted.
create or replace function messenger.mend_file(p_conversation_id uuid, p_message_id uuid, p_place integer, p_file jsonb) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    here messenger.messages;
    attachments jsonb;
    upload messenger.attachments;
begin
    perform set_config('messenger.importing', 'on', true);
    select m.* into here from messenger.messages m
    where m.conversation_id = p_conversation_id and m.id = p_message_id for no key update;
    delete from messenger.missing_files f
    where f.conversation_id = p_conversation_id and f.message_id = p_message_id and f.place = p_place;
    if not found or here.deleted_at is not null then
        return false;
    end if;
    attachments := messenger.import_files(jsonb_build_array(p_file), here.sender_id, here.created_at);
    select a.* into upload from messenger.attachments a where a.id = messenger.upload_of(attachments -> 0 ->> 'url');
    update messenger.messages m
    set attachments = jsonb_set(m.attachments, array[p_place::text], jsonb_strip_nulls(jsonb_build_object(
        'url', '/api/v1/messenger/attachments/' || upload.id, 'name', upload.name, 'size', upload.size,
        'mime_type', upload.mime_type, 'width', upload.width, 'height', upload.height,
        'thumbnail', case when upload.has_thumbnail then true end
    )))
    where m.conversation_id = p_conversation_id and m.id = p_message_id;
    insert into messenger.attachment_uses (conversation_id, message_id, attachment_id)
    values (p_conversation_id, p_message_id, upload.id)
    on conflict do nothing;
    return true;
end
$$;
