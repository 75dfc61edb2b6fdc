-- Notifications for people who are away: what may have to be told, what is to be handed out, and the devices that are told.

create table messenger.outbox (
    message_id uuid not null constraint outbox_pk primary key,
    conversation_id uuid not null
);
comment on table messenger.outbox is
    'Messages that somebody away may have to be told of, and nobody looked yet whom. Without foreign keys: it is on the way of every message, and one that has gone concerns nobody.';

create table messenger.push_devices (
    id uuid not null default gen_random_uuid() constraint push_devices_pk primary key,
    user_id bigint not null
        constraint push_devices_user_fk references messenger.users (id) on delete cascade,
    endpoint text not null
        constraint push_devices_endpoint_unique unique
        constraint push_devices_endpoint_length check (octet_length(endpoint) between 1 and 2048),
    p256dh text not null,
    auth text not null,
    name text constraint push_devices_name_length check (length(name) between 1 and 200),
    created_at timestamptz not null default clock_timestamp(),
    renewed_at timestamptz not null default clock_timestamp(),
    failures integer not null default 0,
    resting_until timestamptz
);
comment on table messenger.push_devices is 'Browsers that take Web Push for a user: an address at a push service, and the keys that content is encrypted with.';
comment on column messenger.push_devices.resting_until is 'It did not take what it was sent last; until then nothing is sent there. failures counts such rests in a row.';
create index push_devices_user on messenger.push_devices (user_id, renewed_at);

create table messenger.deliveries (
    id uuid not null default gen_random_uuid() constraint deliveries_pk primary key,
    channel text not null constraint deliveries_channel check (channel in ('webhook', 'web_push')),
    conversation_id uuid not null,
    message_id uuid not null,
    user_ids bigint[] not null,
    device_id uuid constraint deliveries_device_fk references messenger.push_devices (id) on delete cascade,
    attempts integer not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    due_at timestamptz not null default clock_timestamp(),
    last_error text,
    dead_at timestamptz,
    constraint deliveries_device_of_channel check ((channel = 'web_push') = (device_id is not null))
);
comment on table messenger.deliveries is 'What is to be handed out: one message to some of its recipients by a webhook, or to one device.';
comment on column messenger.deliveries.attempts is 'Those begun. Who ends one names its number: a later one is somebody else''s.';
comment on column messenger.deliveries.due_at is 'When it is tried next; moved ahead while it is tried, so that what a dead node had in its hands comes up again.';
comment on column messenger.deliveries.last_error is 'A status or the kind of failure: no content, no address.';
comment on column messenger.deliveries.dead_at is 'When it was given up.';
create index deliveries_due on messenger.deliveries (channel, due_at) where dead_at is null;
create index deliveries_device on messenger.deliveries (device_id) where device_id is not null;
create index deliveries_created on messenger.deliveries (created_at);

do $$
declare
    closed text;
begin
    foreach closed in array array['outbox', 'push_devices', 'deliveries'] loop
        execute format('alter table messenger.%I enable row level security', closed);
        execute format('alter table messenger.%I force row level security', closed);
        execute format('revoke all on messenger.%I from public', closed);
    end loop;
end
$$;

-- Laid anew with one parameter more.
drop function if exists messenger.append_messages(
    bigint[], uuid[], uuid[], text[], bytea[], text[], text[], uuid[], jsonb, jsonb[], jsonb[]
);
