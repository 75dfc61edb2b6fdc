-- Files that messages carry. Triggers: it holds whoever writes a message, and an import too.

-- The id of an upload of ours in an attachment's address; null in any other.
create or replace function messenger.upload_of(p_url text) returns uuid
language sql immutable
as $$
    select substring(
        p_url from '^(?:https?://[^/?#]+(?:/[^?#]*)?)?/api/v1/messenger/attachments/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$'
    )::uuid
$$;

-- Say of uploads what they are, whatever the sender said of them. He must see each: by his own eyes, so this is no definer.
-- Raises invalid_frame.
create or replace function messenger.name_attachments() returns trigger
language plpgsql
as $$
declare
    named jsonb := '[]';
    item jsonb;
    upload_id uuid;
    upload messenger.attachments;
    me constant bigint := messenger.current_user_id();
    scope constant uuid[] := messenger.current_scope();
begin
    for item in select value from jsonb_array_elements(new.attachments) loop
        upload_id := messenger.upload_of(item ->> 'url');
        if upload_id is not null then
            -- It may be passed on from elsewhere, and the transaction may be narrowed to where the message goes.
            perform messenger.enter(me);
            select a.* into upload from messenger.attachments a where a.id = upload_id;
            perform messenger.enter(me, scope);
            if upload.id is not null then
                item := jsonb_strip_nulls(jsonb_build_object(
                    'url', '/api/v1/messenger/attachments/' || upload.id, 'name', upload.name, 'size', upload.size,
                    'mime_type', upload.mime_type, 'width', upload.width, 'height', upload.height,
                    'thumbnail', case when upload.has_thumbnail then true end
                ));
            elsif item ->> 'url' like '/%' then
                perform messenger.fail('invalid_frame');
            end if;
        end if;
        named := named || item;
    end loop;
    new.attachments := named;
    return new;
end
$$;

create or replace trigger a_name_attachments before insert on messenger.messages
for each row when (new.attachments <> '[]') execute function messenger.name_attachments();

-- Write down which uploads a message carries. One that is cleared away just now is there no more: raises invalid_frame.
create or replace function messenger.use_attachments() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into messenger.attachment_uses (conversation_id, message_id, attachment_id)
    select distinct new.conversation_id, new.id, messenger.upload_of(item ->> 'url')
    from jsonb_array_elements(new.attachments) as item
    -- A foreign address that only looks like one of ours stands as it came.
    where item ->> 'url' like '/%' and messenger.upload_of(item ->> 'url') is not null
    -- In one order: each is locked.
    order by 3;
    return null;
exception
    when foreign_key_violation then
        perform messenger.fail('invalid_frame');
        return null;
end
$$;

create or replace trigger use_attachments after insert on messenger.messages
for each row when (new.attachments <> '[]') execute function messenger.use_attachments();

-- A tombstone carries nothing.
create or replace function messenger.drop_attachments() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from messenger.attachment_uses u where u.conversation_id = new.conversation_id and u.message_id = new.id;
    return null;
end
$$;

create or replace trigger drop_attachments after update on messenger.messages
for each row when (new.deleted_at is not null and old.attachments <> '[]') execute function messenger.drop_attachments();

-- An upload knows since when nothing carries it.
create or replace function messenger.tell_attachment() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- In turn: whoever of two comes second sees what the first one did.
    perform from messenger.attachments a where a.id = coalesce(new.attachment_id, old.attachment_id) for no key update;
    if tg_op = 'INSERT' then
        update messenger.attachments a set idle_since = null where a.id = new.attachment_id and a.idle_since is not null;
    else
        update messenger.attachments a set idle_since = clock_timestamp()
        where a.id = old.attachment_id
            and not exists (select from messenger.attachment_uses u where u.attachment_id = old.attachment_id);
    end if;
    return null;
end
$$;

create or replace trigger tell_attachment after insert or delete on messenger.attachment_uses
for each row execute function messenger.tell_attachment();

-- Take uploads out of the books that no message has carried for so long; their ids, so that their bytes can go too, before this
-- is committed. Locked first: a message that takes one just now is waited for by nobody, and keeps it.
create or replace function messenger.clear_attachments(p_idle interval, p_most integer) returns setof uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    idle uuid[];
begin
    idle := array(
        select a.id from messenger.attachments a
        where a.idle_since < clock_timestamp() - p_idle
            and not exists (select from messenger.attachment_uses u where u.attachment_id = a.id)
        order by a.idle_since limit p_most for update skip locked
    );
    return query
        delete from messenger.attachments a
        where a.id = any (idle)
            and not exists (select from messenger.attachment_uses u where u.attachment_id = a.id)
        returning a.id;
end
$$;
