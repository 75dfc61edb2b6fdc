-- Live sessions, their guests, and open rooms.

alter table messenger.users
    add column kind text not null default 'person' constraint users_kind check (kind in ('person', 'guest')),
    -- Each row gets one of its own: the table is written anew, a second for a few hundred thousand people.
    add column public_id uuid not null default gen_random_uuid() constraint users_public_id_unique unique;
comment on column messenger.users.kind is
    'A guest is in one room and nowhere else: of a live session by a nickname, or the one in whose name an open room speaks.';
comment on column messenger.users.public_id is 'What live sessions call a participant: it says nothing of the host application''s ids.';

alter table messenger.conversations
    add column join_code text
        constraint conversations_join_code_unique unique
        constraint conversations_join_code_shape check (join_code ~ '^[A-Z0-9]{6,12}$'),
    add column closed_at timestamptz,
    add column open_room text
        constraint conversations_open_room_unique unique
        constraint conversations_open_room_shape check (open_room ~ '^[A-Za-z0-9_-]{1,64}$'),
    add constraint conversations_rooms_only check (type = 'room' or (join_code is null and open_room is null));
comment on column messenger.conversations.join_code is 'By which guests find a live session.';
comment on column messenger.conversations.closed_at is 'Since when it admits nobody and takes no messages.';
comment on column messenger.conversations.open_room is 'The name of a room that needs no account; whoever is there speaks through its one participant.';

alter table messenger.conversation_participants
    add column nickname_key text,
    add column guest_until timestamptz;
comment on column messenger.conversation_participants.nickname_key is 'A guest''s nickname as it is compared: case-folded, NFC.';
comment on column messenger.conversation_participants.guest_until is 'When a guest''s token ends, and he is cleared away.';
alter table messenger.conversation_departures add column nickname_key text;
comment on column messenger.conversation_departures.nickname_key is 'A nickname that stays taken: its guest left before his time was over.';
create unique index conversation_participants_nickname on messenger.conversation_participants (conversation_id, nickname_key)
    where nickname_key is not null;
create index conversation_participants_guests on messenger.conversation_participants (guest_until) where guest_until is not null;

-- 244 random bits: RFC 7518 §3.2 wants as many bytes as the hash has.
alter table messenger.installation
    add column guest_key bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
comment on column messenger.installation.guest_key is 'What guests'' tokens are signed with, whoever signs those of users.';
