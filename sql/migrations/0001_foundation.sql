-- Users, conversations, their numbered logs, and how far each reader is.
-- Every table is created closed: row-level security enabled and forced, nothing granted. policies/ opens it.

create table messenger.installation (
    singleton boolean not null default true
        constraint installation_pk primary key
        constraint installation_one_row check (singleton),
    epoch text not null
);
comment on table messenger.installation is 'One row: the epoch names this database''s history; a restore gets a new one.';

create table messenger.users (
    id bigint not null
        constraint users_pk primary key
        constraint users_id_range check (id between 1 and 9007199254740991),
    external_id text
        constraint users_external_id_unique unique
        constraint users_external_id_shape check (length(external_id) between 1 and 128 and external_id ~ '[^0-9]'),
    name text,
    avatar_url text,
    profile_issued_at bigint not null default 0,
    tokens_not_before timestamptz,
    last_seen_at timestamptz,
    created_at timestamptz not null default now()
);
comment on table messenger.users is 'A person, known by the integer id of the host application.';
comment on column messenger.users.profile_issued_at is 'iat of the token that name and avatar_url are from, in seconds; the newest wins.';

create table messenger.conversations (
    id uuid not null constraint conversations_pk primary key,
    type text not null
        constraint conversations_type check (type in ('direct', 'group', 'announcement', 'room')),
    title text,
    metadata jsonb not null default '{}',
    history text not null default 'all'
        constraint conversations_history check (history in ('all', 'joined')),
    created_by bigint not null
        constraint conversations_created_by_fk references messenger.users (id) on delete restrict,
    direct_low bigint,
    direct_high bigint,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint conversations_direct_unique unique (direct_low, direct_high),
    constraint conversations_direct_pair check (
        case type
            when 'direct' then direct_low < direct_high and direct_low is not null and direct_high is not null
            else direct_low is null and direct_high is null
        end
    )
);
comment on table messenger.conversations is
    'A deleted one stays as an empty shell, so that nodes that missed the deletion still learn of it.';

create table messenger.conversation_heads (
    conversation_id uuid not null
        constraint conversation_heads_pk primary key
        constraint conversation_heads_conversation_fk references messenger.conversations (id) on delete cascade,
    last_seq bigint not null default 0,
    last_change bigint not null default 0,
    participant_count integer not null default 0,
    active_at timestamptz not null default clock_timestamp(),
    touched xid8 not null default pg_current_xact_id()
);
comment on table messenger.conversation_heads is
    'The narrow row that a write locks to take the next numbers, so that number order is commit order.';
comment on column messenger.conversation_heads.touched is
    'The transaction of the latest change: a poll asks for what is not below the oldest one that the poll before saw running.';
create index conversation_heads_touched on messenger.conversation_heads (touched);

create table messenger.conversation_participants (
    conversation_id uuid not null
        constraint conversation_participants_conversation_fk references messenger.conversations (id) on delete cascade,
    user_id bigint not null
        constraint conversation_participants_user_fk references messenger.users (id) on delete restrict,
    role text not null
        constraint conversation_participants_role check (role in ('admin', 'member', 'observer')),
    joined_at timestamptz not null default clock_timestamp(),
    joined_change bigint not null default 0,
    first_seq bigint not null default 1,
    constraint conversation_participants_pk primary key (conversation_id, user_id)
);
comment on column messenger.conversation_participants.joined_change is 'The change that brought him in; 0 for who was there from the start.';
comment on column messenger.conversation_participants.first_seq is 'The lowest seq he may see: 1, or that of his joining where history is joined.';
create index conversation_participants_user
    on messenger.conversation_participants (user_id, conversation_id) include (role, first_seq);

create table messenger.conversation_departures (
    conversation_id uuid not null
        constraint conversation_departures_conversation_fk references messenger.conversations (id) on delete cascade,
    user_id bigint not null
        constraint conversation_departures_user_fk references messenger.users (id) on delete restrict,
    change bigint not null,
    constraint conversation_departures_pk primary key (conversation_id, user_id)
);
comment on table messenger.conversation_departures is 'The change by which somebody left last, so that he can be told of it afterwards.';

create table messenger.messages (
    conversation_id uuid not null
        constraint messages_conversation_fk references messenger.conversations (id) on delete cascade,
    id uuid not null,
    seq bigint not null constraint messages_seq_positive check (seq > 0),
    change bigint not null constraint messages_change_positive check (change > 0),
    sender_id bigint not null
        constraint messages_sender_fk references messenger.users (id) on delete restrict,
    client_id text constraint messages_client_id_length check (length(client_id) between 1 and 64),
    request_digest bytea,
    message_type text not null default 'text' constraint messages_type_length check (length(message_type) between 1 and 64),
    content text,
    reply_to uuid,
    mentions bigint[] not null default '{}',
    attachments jsonb not null default '[]',
    metadata jsonb not null default '{}',
    created_at timestamptz not null default clock_timestamp(),
    edited_at timestamptz,
    deleted_at timestamptz,
    deleted_by bigint constraint messages_deleted_by_fk references messenger.users (id) on delete restrict,
    constraint messages_pk primary key (conversation_id, id),
    constraint messages_seq_unique unique (conversation_id, seq),
    constraint messages_change_unique unique (conversation_id, change),
    constraint messages_client_id_unique unique (conversation_id, sender_id, client_id),
    constraint messages_reply_to_fk foreign key (conversation_id, reply_to)
        references messenger.messages (conversation_id, id),
    constraint messages_tombstone check (
        case
            when deleted_at is null then content is not null and deleted_by is null
            else content is null and deleted_by is not null
                and mentions = '{}' and attachments = '[]' and metadata = '{}'
        end
    )
);
comment on table messenger.messages is 'The log. seq orders it; change is the latest alteration of each entry.';
comment on column messenger.messages.request_digest is
    'Of the request as first sent: the same client_id with another one is a conflict, whatever was edited since.';
-- By id alone, for edit, delete and read; not unique, so that it tells nobody of a hidden message.
create index messages_id on messenger.messages (id);
-- What counts as unread: neither system entries nor tombstones.
create index messages_countable on messenger.messages (conversation_id, seq) include (sender_id)
    where message_type <> 'system' and deleted_at is null;

create table messenger.read_receipts (
    conversation_id uuid not null,
    user_id bigint not null,
    message_id uuid not null,
    last_read_seq bigint not null,
    read_at timestamptz not null default clock_timestamp(),
    constraint read_receipts_pk primary key (conversation_id, user_id),
    constraint read_receipts_participant_fk foreign key (conversation_id, user_id)
        references messenger.conversation_participants (conversation_id, user_id) on delete cascade,
    constraint read_receipts_message_fk foreign key (conversation_id, message_id)
        references messenger.messages (conversation_id, id) on delete cascade
);
comment on table messenger.read_receipts is 'How far each reader has read; one row a reader and conversation.';

create table messenger.notification_settings (
    conversation_id uuid not null,
    user_id bigint not null,
    level text not null default 'all'
        constraint notification_settings_level check (level in ('all', 'mentions', 'none')),
    muted_until timestamptz,
    push_enabled boolean not null default true,
    email_enabled boolean not null default false,
    constraint notification_settings_pk primary key (conversation_id, user_id),
    constraint notification_settings_participant_fk foreign key (conversation_id, user_id)
        references messenger.conversation_participants (conversation_id, user_id) on delete cascade
);
comment on table messenger.notification_settings is 'What a participant wants to be told of; no row means the defaults.';

do $$
declare
    closed text;
begin
    foreach closed in array array[
        'installation', 'users', 'conversations', 'conversation_heads', 'conversation_participants',
        'conversation_departures', 'messages', 'read_receipts', 'notification_settings'
    ] loop
        execute format('alter table messenger.%I enable row level security', closed);
        execute format('alter table messenger.%I force row level security', closed);
        execute format('revoke all on messenger.%I from public', closed);
    end loop;
end
$$;

-- Forced row-level security binds the owner too: without this, the next lines and every later migration would write nothing.
create policy owner_all on messenger.installation to current_user using (true) with check (true);
insert into messenger.installation (epoch) values (substr(md5(gen_random_uuid()::text), 1, 12));
