-- Telling those who are away. Duties of the daemon: they return ids, numbers, times and settings, never content, which is read
-- as each recipient at the moment of delivery.

-- Somebody away may have to be told of these messages, which this transaction stores. Once a batch.
create or replace function messenger.put_out(p_conversation_ids uuid[], p_message_ids uuid[]) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    insert into messenger.outbox (conversation_id, message_id)
    select conversation_id, message_id from unnest(p_conversation_ids, p_message_ids) as told (conversation_id, message_id)
    on conflict do nothing  -- whoever names a message that waits learns nothing of it
$$;

-- The oldest messages that nobody looked at yet, and how many take part in each one's conversation.
create or replace function messenger.waiting_messages(p_most integer)
returns table (conversation_id uuid, message_id uuid, participant_count integer)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select o.conversation_id, o.message_id, coalesce(h.participant_count, 0)
    from (select * from messenger.outbox order by message_id limit p_most) as o
    left join messenger.conversation_heads h on h.conversation_id = o.conversation_id
$$;

-- Who wants to be told of messages, and how: participants who may see them and have not read so far; not the sender, nor
-- between whom and him a block stands; as their settings say. p_user_ids narrows to some. Nobody is told of what was deleted, is
-- the system's, or is older than a day. seen_s: how long ago he was last online, in seconds.
create or replace function messenger.audience(p_conversation_ids uuid[], p_message_ids uuid[], p_user_ids bigint[] default null)
returns table (
    message_id uuid, user_id bigint, mentioned boolean, push_enabled boolean, email_enabled boolean, seen_s double precision
)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select m.id, p.user_id, p.user_id = any (m.mentions), coalesce(n.push_enabled, true), coalesce(n.email_enabled, false),
        extract(epoch from clock_timestamp() - u.last_seen_at)::double precision
    from unnest(p_conversation_ids, p_message_ids) as asked (conversation_id, message_id)
    join messenger.messages m on m.conversation_id = asked.conversation_id and m.id = asked.message_id
    join messenger.conversation_participants p on p.conversation_id = m.conversation_id
    join messenger.users u on u.id = p.user_id
    left join messenger.notification_settings n on n.conversation_id = p.conversation_id and n.user_id = p.user_id
    left join messenger.read_receipts r on r.conversation_id = p.conversation_id and r.user_id = p.user_id
    where m.deleted_at is null and m.message_type <> 'system' and m.created_at > clock_timestamp() - interval '1 day'
        and u.kind = 'person'  -- of guests the host application knows nothing
        and (p_user_ids is null or p.user_id = any (p_user_ids))
        and p.user_id <> m.sender_id and m.seq >= p.first_seq and coalesce(r.last_read_seq, 0) < m.seq
        and (n.level is null or n.level = 'all' or (n.level = 'mentions' and p.user_id = any (m.mentions)))
        and (n.muted_until is null or n.muted_until <= clock_timestamp())
        and (coalesce(n.push_enabled, true) or n.email_enabled)
        and not exists (select from messenger.blocks b where b.user_id = p.user_id and b.blocked_id = m.sender_id)
        and not exists (select from messenger.blocks b where b.user_id = m.sender_id and b.blocked_id = p.user_id)
$$;

-- The same of some users and one message, with the host's own ids and what is unread; that is counted up to a thousand.
create or replace function messenger.recipients(p_conversation_id uuid, p_message_id uuid, p_user_ids bigint[])
returns table (
    user_id bigint, external_id text, mentioned boolean, push_enabled boolean, email_enabled boolean, unread_count bigint
)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select a.user_id, u.external_id, a.mentioned, a.push_enabled, a.email_enabled, (
        select count(*)
        from (
            select from messenger.messages m
            where m.conversation_id = p_conversation_id
                and m.seq >= greatest(p.first_seq, coalesce(r.last_read_seq, 0) + 1)
                and m.message_type <> 'system' and m.deleted_at is null and m.sender_id <> a.user_id
            limit 1000
        ) as unread
    )
    from messenger.audience(array[p_conversation_id], array[p_message_id], p_user_ids) as a
    join messenger.users u on u.id = a.user_id
    join messenger.conversation_participants p on p.conversation_id = p_conversation_id and p.user_id = a.user_id
    left join messenger.read_receipts r on r.conversation_id = p_conversation_id and r.user_id = a.user_id
    order by a.user_id
$$;

-- Take looked-at messages out of the outbox, and note what is to be handed out: to the webhook all of p_user_ids, 500 at once,
-- and to the devices of those with p_pushes; those with p_later only after p_pause. All go by p_told_ids, the message of each.
-- What another node took meanwhile is passed over. Returns how many messages were taken.
create or replace function messenger.hand_out(
    p_message_ids uuid[], p_webhook boolean, p_told_ids uuid[], p_user_ids bigint[], p_pushes boolean[], p_later boolean[],
    p_pause interval
)
returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    with mine as materialized (
        select o.message_id from messenger.outbox o
        where o.message_id = any (p_message_ids) for update skip locked
    ),
    taken as (
        delete from messenger.outbox o using mine where o.message_id = mine.message_id
        returning o.conversation_id, o.message_id
    ),
    told as (
        select t.conversation_id, t.message_id, away.user_id, away.push,
            clock_timestamp() + case when away.later then p_pause else '0' end as due_at, away.later,
            (row_number() over (partition by t.message_id, away.later order by away.user_id) - 1) / 500 as part
        from unnest(p_told_ids, p_user_ids, p_pushes, p_later) as away (message_id, user_id, push, later)
        join taken t on t.message_id = away.message_id
    ),
    posts as (
        insert into messenger.deliveries (channel, conversation_id, message_id, user_ids, due_at)
        select 'webhook', told.conversation_id, told.message_id, array_agg(told.user_id order by told.user_id), min(told.due_at)
        from told where p_webhook group by told.conversation_id, told.message_id, told.later, told.part
        returning id
    ),
    -- Locked, so that one that is removed at this moment is passed over.
    devices as (
        select d.id, d.user_id, d.resting_until from messenger.push_devices d
        where d.user_id = any (array(select told.user_id from told where told.push)) for key share
    ),
    pushes as (
        insert into messenger.deliveries (channel, conversation_id, message_id, user_ids, device_id, due_at)
        select 'web_push', told.conversation_id, told.message_id, array[told.user_id], d.id,
            greatest(d.resting_until + interval '15 seconds', told.due_at)
        from told join devices d on d.user_id = told.user_id where told.push
        returning id
    )
    select count(*) from taken
$$;

-- Take what is due in hand for a while; whoever took it and died leaves it to the next.
create or replace function messenger.claim_deliveries(p_channel text, p_most integer, p_lease interval)
returns table (
    id uuid, conversation_id uuid, message_id uuid, user_ids bigint[], device_id uuid, attempts integer, created_at timestamptz
)
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    with due as materialized (
        select d.id from messenger.deliveries d
        where d.channel = p_channel and d.dead_at is null and d.due_at <= clock_timestamp()
        order by d.due_at limit p_most for update skip locked
    )
    update messenger.deliveries d
    set attempts = d.attempts + 1, due_at = clock_timestamp() + p_lease
    from due where d.id = due.id
    returning d.id, d.conversation_id, d.message_id, d.user_ids, d.device_id, d.attempts, d.created_at
$$;

-- Lock the device of a delivery, before the delivery itself: whoever forgets a device locks them in this order too. Not granted.
create or replace function messenger.hold_device_of(p_delivery_id uuid) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select from messenger.push_devices d
    where d.id = (select it.device_id from messenger.deliveries it where it.id = p_delivery_id) for no key update
$$;

-- A delivery is done with, or concerns nobody any more. Its device, where it took it, is well.
create or replace function messenger.settle_delivery(p_id uuid, p_attempts integer, p_taken boolean) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select messenger.hold_device_of(p_id);
    with settled as (
        delete from messenger.deliveries d where d.id = p_id and d.attempts = p_attempts and d.dead_at is null
        returning d.device_id
    )
    update messenger.push_devices d set failures = 0, resting_until = null
    from settled where d.id = settled.device_id and p_taken and d.failures > 0
$$;

-- A delivery failed: it is tried again in p_again, or given up where that is null. Its device rests, longer each time up to five
-- minutes, and what else is meant for it waits until one has come through: an address that hangs holds up nobody else.
create or replace function messenger.put_off_delivery(p_id uuid, p_attempts integer, p_error text, p_again interval)
returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    now constant timestamptz := clock_timestamp();
    device uuid;
    rests_until timestamptz;
begin
    perform messenger.hold_device_of(p_id);
    update messenger.deliveries d
    set last_error = p_error, due_at = now + coalesce(p_again, '0'), dead_at = case when p_again is null then now end
    where d.id = p_id and d.attempts = p_attempts and d.dead_at is null
    returning d.device_id into device;
    if device is null then
        return;
    end if;
    update messenger.push_devices d
    set failures = d.failures + 1,
        resting_until = now + least(interval '5 minutes', interval '5 seconds' * 4 ^ least(d.failures, 6))
    where d.id = device and (d.resting_until is null or d.resting_until <= now)
    returning d.resting_until into rests_until;
    if rests_until is not null then
        update messenger.deliveries d
        set due_at = greatest(d.due_at, rests_until + case when d.id = p_id then interval '0' else interval '15 seconds' end)
        where d.device_id = device and d.dead_at is null;
    end if;
end
$$;

-- Forget what was given up, or left lying, a month ago.
create or replace function messenger.clear_deliveries() returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ delete from messenger.deliveries d where d.created_at < clock_timestamp() - interval '30 days' $$;

-- How many messages and deliveries wait.
create or replace function messenger.count_waiting() returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select (select count(*) from messenger.outbox) + (select count(*) from messenger.deliveries d where d.dead_at is null)
$$;

-- Let me be told by Web Push at an address; one that was another user's is mine from now on, and nothing of his goes there any
-- more. Of more than 20 the one that was registered longest ago goes.
create or replace function messenger.register_push_device(p_endpoint text, p_p256dh text, p_auth text, p_name text)
returns table (id uuid, endpoint text, name text, created_at timestamptz)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    me constant bigint := messenger.current_user_id();
begin
    -- One of mine at a time: else two would not count each other.
    perform from messenger.users u where u.id = me for no key update;
    loop
        delete from messenger.push_devices d where d.endpoint = p_endpoint and d.user_id <> me;
        return query
            insert into messenger.push_devices as d (user_id, endpoint, p256dh, auth, name)
            values (me, p_endpoint, p_p256dh, p_auth, p_name)
            on conflict on constraint push_devices_endpoint_unique do update
                set p256dh = excluded.p256dh, auth = excluded.auth, name = excluded.name,
                    renewed_at = clock_timestamp(), failures = 0, resting_until = null
                where d.user_id = me
            returning d.id, d.endpoint, d.name, d.created_at;
        exit when found;  -- else somebody else registered it at this very moment
    end loop;
    delete from messenger.push_devices d where d.id in (
        select mine.id from messenger.push_devices mine where mine.user_id = me order by mine.renewed_at desc, mine.id offset 20
    );
end
$$;
