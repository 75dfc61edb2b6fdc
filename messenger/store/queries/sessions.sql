-- name: named
-- A live session by its code or its id.
select conversation_id as id, join_code as code, case when is_closed then 'closed' else 'active' end as status
from messenger.session_named($1)

-- name: open
-- Open one, as its host.
select messenger.open_session($1, $2)

-- name: change
-- Change title or status, as its host.
select * from messenger.change_session($1, $2, $3, $4, $5)

-- name: attendee
-- Somebody in it, by his public id or his own.
select user_id, public_id, role, nickname from messenger.attendee($1, $2, $3)

-- name: audience
-- Who is in it beside its hosts.
select user_id, public_id from messenger.audience_of_session($1)

-- name: join
-- Let a guest in.
select user_id, public_id, joined_at, title, (told).* from messenger.join_session($1, $2, $3, $4)

-- name: people
-- Who is in it or was, as one of them sees it.
select user_id, public_id, nickname, is_host, is_in, last_seen_at from messenger.session_people($1)

-- name: history
-- Its last messages, newest first, with what their senders are called.
select id, nickname, content, message_type, created_at from messenger.session_history($1, $2)

-- name: count_messages
-- How many messages it has that a person wrote.
select count(*) from messenger.messages where conversation_id = $1 and message_type <> 'system' and deleted_at is null

-- name: answer
-- Mark a question answered.
select moved, (message).* from messenger.answer_question($1)

-- name: guest_key
-- What guests' tokens are signed with.
select messenger.guest_key()

-- name: idle_guests
-- Guests whose time is over.
select conversation_id, user_id from messenger.idle_guests($1)

-- name: enter_open_room
-- An open room and its one participant.
select conversation_id, user_id from messenger.enter_open_room($1, $2)

-- name: open_room_window
-- Its last messages, newest first.
select * from messenger.open_room_window($1, $2, $3)

-- name: idle_open_rooms
-- Open rooms without traffic.
select conversation_id, user_id from messenger.idle_open_rooms($1, $2)

-- name: clear_open_room
-- Clear one away, so many messages at once; whether it is done.
select messenger.clear_open_room($1, $2, $3)
