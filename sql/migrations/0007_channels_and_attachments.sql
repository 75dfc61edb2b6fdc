-- Channels that a host application names, people as it keeps them, what came over from its vendor, and files.

-- A message of a channel has an integer id made of the channel's number and its own: it stays below 2^53.
create sequence messenger.channel_numbers as bigint minvalue 1 maxvalue 2097151;

alter table messenger.conversations
    add column channel_url text
        constraint conversations_channel_url_unique unique
        constraint conversations_channel_url_shape check (channel_url ~ '^[A-Za-z0-9_-]{1,100}$'),
    add column channel_no bigint constraint conversations_channel_no_unique unique,
    add constraint conversations_channel_whole check ((channel_url is null) = (channel_no is null));
comment on column messenger.conversations.channel_url is 'What the host application calls it; one with a name is a channel.';
comment on column messenger.conversations.channel_no is 'What its messages'' integer ids are made of; never given twice.';

alter table messenger.conversation_heads add column is_jumbled boolean not null default false;
comment on column messenger.conversation_heads.is_jumbled is
    'An import brought something older than what was there: times do not ascend with seq.';

alter table messenger.users
    add column metadata jsonb not null default '{}',
    add column deleted_at timestamptz;
comment on column messenger.users.metadata is 'The host application''s own; nobody else is shown it.';
comment on column messenger.users.deleted_at is 'The host application has deleted him: what he said stays, and names nobody.';

create table messenger.deleted_names (
    external_id text not null constraint deleted_names_pk primary key,
    tokens_not_before timestamptz not null
);
comment on table messenger.deleted_names is 'What those were called whom the host application deleted; somebody else may be called so now.';
comment on column messenger.deleted_names.tokens_not_before is 'Tokens of this name that are older were not issued to whoever has it now.';

-- Deleting a conversation asks of each message who answers it.
create index messages_reply_to on messenger.messages (conversation_id, reply_to) where reply_to is not null;

create table messenger.imported_messages (
    conversation_id uuid not null,
    vendor_id bigint not null,
    message_id uuid not null,
    constraint imported_messages_pk primary key (conversation_id, vendor_id),
    constraint imported_messages_message_unique unique (conversation_id, message_id),
    constraint imported_messages_message_fk foreign key (conversation_id, message_id)
        references messenger.messages (conversation_id, id) on delete cascade
);
comment on table messenger.imported_messages is 'What came over, by the id that it had there: it keeps it, and comes over once.';

create table messenger.imported_users (
    called text not null constraint imported_users_pk primary key,
    user_id bigint not null
        constraint imported_users_user_fk references messenger.users (id) on delete cascade,
    told jsonb not null default '{}'
);
comment on table messenger.imported_users is
    'Who came over, by what he is called: the external id, or the integer. Who was deleted here since does not come back.';
comment on column messenger.imported_users.told is
    'What was taken over of him last: what is still so here follows the vendor, what was changed here stays.';
create index imported_users_user on messenger.imported_users (user_id);

create table messenger.imported_channels (
    channel_url text not null constraint imported_channels_pk primary key,
    conversation_id uuid not null
        constraint imported_channels_conversation_fk references messenger.conversations (id) on delete cascade,
    told jsonb not null default '{}',
    is_whole boolean not null default false
);
comment on table messenger.imported_channels is
    'Channels that an import made. One that was deleted here since stays in the list, so that it does not come back.';
comment on column messenger.imported_channels.told is 'As imported_users.told.';
comment on column messenger.imported_channels.is_whole is 'Whether an import came to its end once: before that it is not the channel yet.';
create index imported_channels_conversation on messenger.imported_channels (conversation_id);

create table messenger.missing_files (
    conversation_id uuid not null,
    message_id uuid not null,
    place integer not null,
    url text not null,
    constraint missing_files_pk primary key (conversation_id, message_id, place),
    constraint missing_files_message_fk foreign key (conversation_id, message_id)
        references messenger.messages (conversation_id, id) on delete cascade
);
comment on table messenger.missing_files is 'Imported messages a file of which did not come: a later import tries again.';
comment on column messenger.missing_files.place is 'In the message''s attachments, from 0 on.';

create table messenger.missing_messages (
    conversation_id uuid not null
        constraint missing_messages_conversation_fk references messenger.conversations (id) on delete cascade,
    vendor_id bigint not null,
    reason text not null,
    constraint missing_messages_pk primary key (conversation_id, vendor_id)
);
comment on table messenger.missing_messages is 'Messages that did not come, by their ids there: a later import asks for each again.';

create table messenger.attachments (
    id uuid not null constraint attachments_pk primary key,
    uploaded_by bigint not null
        constraint attachments_uploaded_by_fk references messenger.users (id) on delete restrict,
    name text not null constraint attachments_name_length check (length(name) between 1 and 255),
    mime_type text not null constraint attachments_mime_type_length check (length(mime_type) between 1 and 127),
    size bigint not null constraint attachments_size_positive check (size >= 0),
    width integer,
    height integer,
    has_thumbnail boolean not null default false,
    source text constraint attachments_source_unique unique,
    created_at timestamptz not null default clock_timestamp(),
    idle_since timestamptz default clock_timestamp()
);
comment on table messenger.attachments is 'Uploaded files; their bytes are in the storage, under the id.';
comment on column messenger.attachments.source is 'Where an imported one came from, so that it comes once.';
comment on column messenger.attachments.idle_since is 'Since when no message carries it; null as long as one does.';
create index attachments_idle on messenger.attachments (idle_since) where idle_since is not null;
-- What somebody uploads is weighed before he uploads more.
create index attachments_idle_of on messenger.attachments (uploaded_by) include (size) where idle_since is not null;
-- Whom a file belongs to is asked when somebody is deleted.
create index attachments_uploaded_by on messenger.attachments (uploaded_by);

create table messenger.attachment_uses (
    conversation_id uuid not null,
    message_id uuid not null,
    attachment_id uuid not null
        constraint attachment_uses_attachment_fk references messenger.attachments (id) on delete restrict,
    constraint attachment_uses_pk primary key (conversation_id, message_id, attachment_id),
    constraint attachment_uses_message_fk foreign key (conversation_id, message_id)
        references messenger.messages (conversation_id, id) on delete cascade
);
comment on table messenger.attachment_uses is 'Which messages carry an upload: whoever may see one of them may load it down.';
create index attachment_uses_attachment on messenger.attachment_uses (attachment_id);

do $$
declare
    closed text;
begin
    foreach closed in array array[
        'deleted_names', 'imported_messages', 'imported_users', 'imported_channels', 'missing_files', 'missing_messages', 'attachments', 'attachment_uses'
    ] loop
        execute format('alter table messenger.%I enable row level security', closed);
        execute format('alter table messenger.%I force row level security', closed);
        execute format('revoke all on messenger.%I from public', closed);
    end loop;
end
$$;
