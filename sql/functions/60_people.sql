-- People: what the host application says and asks of them, and whom somebody wants nothing to do with.

-- Everybody's profile, for the host application only: it is on nobody's behalf.
create or replace function messenger.profiles(p_user_ids bigint[])
returns table (id bigint, external_id text, name text, avatar_url text, last_seen_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select u.id, u.external_id, messenger.display_name(u.id), u.avatar_url, u.last_seen_at
    from messenger.users u where u.id = any (p_user_ids) order by u.id
$$;

-- The integer id of a host's own id, made where there is none: above 2^52, where no host that counts comes to. Not granted.
create or replace function messenger.user_named(p_external_id text) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    found_id bigint;
begin
    loop
        select u.id into found_id from messenger.users u where u.external_id = p_external_id;
        exit when found_id is not null;
        insert into messenger.users (id, external_id)
        values ((1::bigint << 52) + floor(random() * (1::bigint << 52))::bigint, p_external_id)
        on conflict do nothing;
    end loop;
    return found_id;
end
$$;

-- Somebody as the host application wants him, made if need be: by his integer id, or by p_named, the host's own. What p_set names
-- is set (`name`, `avatar_url`, `external_id`); a null gives name and avatar back to the tokens, and takes the external id away.
-- The version of his profile comes back where name or avatar changed. Raises conflict where the external id is somebody else's.
create or replace function messenger.put_user(
    p_user_id bigint, p_named text, p_set text[], p_name text, p_avatar_url text, p_external_id text,
    out user_id bigint, out profile_version bigint
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    before messenger.users;
    after messenger.users;
begin
    user_id := coalesce(p_user_id, messenger.user_named(p_named));
    insert into messenger.users (id) values (user_id) on conflict do nothing;
    select u.* into before from messenger.users u where u.id = user_id for no key update;
    update messenger.users u
    set name = case when 'name' = any (p_set) then p_name else u.name end,
        name_is_set = case when 'name' = any (p_set) then p_name is not null else u.name_is_set end,
        avatar_url = case when 'avatar_url' = any (p_set) then p_avatar_url else u.avatar_url end,
        avatar_is_set = case when 'avatar_url' = any (p_set) then p_avatar_url is not null else u.avatar_is_set end,
        external_id = case when 'external_id' = any (p_set) then p_external_id else u.external_id end
    where u.id = user_id
    returning u.* into after;
    if (before.name, before.avatar_url) is distinct from (after.name, after.avatar_url) then
        update messenger.users u
        set profile_version = u.profile_version + 1, profile_in = pg_current_xact_id(), touched = pg_current_xact_id()
        where u.id = user_id
        returning u.profile_version into profile_version;
    end if;
exception
    when unique_violation then
        perform messenger.fail('conflict', 'external_id is taken');
end
$$;

-- Have nothing to do with somebody any more: nothing is written between the two once this is committed. Raises user_not_found,
-- conflict.
create or replace function messenger.block(p_user_id bigint, p_provision boolean) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    me constant bigint := messenger.current_user_id();
    is_new boolean;
begin
    perform messenger.provision_users(array[p_user_id], p_provision);
    -- Whoever of them makes a conversation or writes in it just now is waited for, and whoever does so after this sees the block.
    perform messenger.lock_pair(me, p_user_id);
    perform from messenger.conversation_heads h
    where h.conversation_id = (
        select c.id from messenger.conversations c
        where c.direct_low = least(me, p_user_id) and c.direct_high = greatest(me, p_user_id)
    )
    for no key update;
    insert into messenger.blocks (user_id, blocked_id) values (me, p_user_id) on conflict do nothing;
    is_new := found;
    if (select count(*) from messenger.blocks b where b.user_id = me) > 10000 then
        perform messenger.fail('conflict', 'At most 10000 users can be blocked');
    end if;
    return is_new;
end
$$;

-- Nodes have to hear of it where somebody's blocks or notification settings change.
create or replace function messenger.touch_people() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    told constant jsonb := coalesce(to_jsonb(new), to_jsonb(old));
begin
    -- In the order of ids: two people who block each other must not wait for each other.
    perform from messenger.users u
    where u.id in ((told ->> 'user_id')::bigint, (told ->> 'blocked_id')::bigint) order by u.id for no key update;
    update messenger.users u set touched = pg_current_xact_id()
    where u.id in ((told ->> 'user_id')::bigint, (told ->> 'blocked_id')::bigint);
    return null;
end
$$;

create or replace trigger touch_people after insert or delete on messenger.blocks
for each row execute function messenger.touch_people();

create or replace trigger touch_people after insert or update on messenger.notification_settings
for each row execute function messenger.touch_people();
