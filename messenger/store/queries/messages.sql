-- name: append
-- Store a batch of drafts, each judged as its own sender's.
select item, outcome, (message).*
from messenger.append_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: edit
-- New content for one's own message; its trigger takes the change.
update messenger.messages set content = $2, edited_at = clock_timestamp()
where id = $1 and sender_id = messenger.current_user_id()
returning *

-- name: delete
-- Turn a message into a tombstone: what it said and what hung on it is gone.
update messenger.messages
set content = null, mentions = '{}', attachments = '[]', metadata = '{}',
    deleted_at = clock_timestamp(), deleted_by = messenger.current_user_id()
where id = $1
returning *

-- name: find
-- One message that the user may see.
select * from messenger.messages where id = $1

-- name: conversation_of
-- Where a message lives; null where the user may not see it.
select messenger.conversation_of_message($1)

-- name: posting_refusal
-- Why the user may not post: as an observer, or because only admins do.
select c.type, p.role
from messenger.conversations c
join messenger.conversation_participants p on p.conversation_id = c.id and p.user_id = messenger.current_user_id()
where c.id = $1

-- name: mark_read
-- Read everything up to a message.
select * from messenger.mark_read($1, $2)

-- name: history_backward
-- A page that ends before a seq, newest first.
select * from messenger.messages
where conversation_id = $1 and seq < $2 and seq > $3
order by seq desc limit $4

-- name: history_forward
-- A page that begins after a seq, oldest first.
select * from messenger.messages
where conversation_id = $1 and seq > $2
order by seq limit $3

-- name: changes
-- What changed above a cursor, in the order of changes: the last state of each message.
select * from messenger.messages
where conversation_id = $1 and change > $2
order by change limit $3

-- name: departure
-- The entry that tells of the user's own leaving.
select * from messenger.my_departure($1)
