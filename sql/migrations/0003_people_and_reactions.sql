-- Blocks, reactions, profiles that the host application sets, and what nodes have to hear of people.

alter table messenger.users
    add column name_is_set boolean not null default false,
    add column avatar_is_set boolean not null default false,
    add column profile_version bigint not null default 0,
    add column profile_in xid8,
    add column touched xid8;
comment on column messenger.users.name_is_set is 'The host application has set it: tokens change it no more.';
comment on column messenger.users.avatar_is_set is 'The host application has set it: tokens change it no more.';
comment on column messenger.users.profile_version is 'How often name or avatar_url changed: nodes tell each version once.';
comment on column messenger.users.profile_in is 'The transaction that changed them last: found by a poll as conversation_heads.touched is.';
comment on column messenger.users.touched is
    'The latest transaction that nodes have to hear of: profile, revocation, blocks, notification settings. As in conversation_heads.';
drop index messenger.users_revoked_in;
create index users_touched on messenger.users (touched) where touched is not null;

create table messenger.blocks (
    user_id bigint not null
        constraint blocks_user_fk references messenger.users (id) on delete cascade,
    blocked_id bigint not null
        constraint blocks_blocked_fk references messenger.users (id) on delete cascade,
    created_at timestamptz not null default clock_timestamp(),
    constraint blocks_pk primary key (user_id, blocked_id),
    constraint blocks_somebody_else check (user_id <> blocked_id)
);
comment on table messenger.blocks is 'Who wants nothing to do with whom. It holds both ways: neither writes to the other, nor sees him come and go.';
create index blocks_blocked on messenger.blocks (blocked_id, user_id);

create table messenger.reactions (
    conversation_id uuid not null,
    message_id uuid not null,
    user_id bigint not null
        constraint reactions_user_fk references messenger.users (id) on delete restrict,
    emoji text not null constraint reactions_emoji_length check (length(emoji) between 1 and 32),
    created_at timestamptz not null default clock_timestamp(),
    constraint reactions_pk primary key (conversation_id, message_id, user_id, emoji),
    constraint reactions_message_fk foreign key (conversation_id, message_id)
        references messenger.messages (conversation_id, id) on delete cascade
);
comment on table messenger.reactions is 'Who reacted to a message with what; messages.reactions counts them.';

alter table messenger.messages
    add column reactions jsonb not null default '{}',
    drop constraint messages_tombstone,
    -- Those that are there have no reactions: a long look at them all would hold up every message.
    add constraint messages_tombstone check (
        case
            when deleted_at is null then content is not null and deleted_by is null
            else content is null and deleted_by is not null
                and mentions = '{}' and attachments = '[]' and metadata = '{}' and reactions = '{}'
        end
    ) not valid;
comment on column messenger.messages.reactions is 'How many reacted with each emoji; reactions says who.';

-- What a node keeps of somebody who comes in: the primary key begins with the conversation.
create index notification_settings_user on messenger.notification_settings (user_id);

do $$
declare
    closed text;
begin
    foreach closed in array array['blocks', 'reactions'] loop
        execute format('alter table messenger.%I enable row level security', closed);
        execute format('alter table messenger.%I force row level security', closed);
        execute format('revoke all on messenger.%I from public', closed);
    end loop;
end
$$;

-- Laid anew with another answer.
drop function if exists messenger.arrive(bigint, text, text, bigint, boolean);
