-- name: append
-- Store a batch of drafts, each judged as its own sender's.
select item, outcome, seq, change, created_at, mentions, stored
from messenger.append_drafts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

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
-- Why the user may not post: where he is, and as what.
select c.type, c.closed_at, p.role from messenger.conversations c
join messenger.conversation_participants p on p.conversation_id = c.id and p.user_id = messenger.current_user_id()
where c.id = $1

-- name: mark_read
-- Read everything up to a message.
select * from messenger.mark_read($1, $2)

-- name: history
-- A page of messages.
select * from messenger.history($1, $2, $3, $4, $5, $6)

-- name: changes
-- What changed above a cursor, in the order of changes: the last state of each message.
select * from messenger.messages
where conversation_id = $1 and change > $2
order by change limit $3

-- name: departure
-- The entry that tells of the user's own leaving.
select * from messenger.my_departure($1)

-- name: react
-- Add or take back one reaction of the user's.
select moved, (message).* from messenger.react($1, $2, $3)

-- name: reactions
-- Who reacted to a message with what, in the order in which they did.
select user_id, emoji, created_at from messenger.reactions
where conversation_id = $1 and message_id = $2 order by created_at, user_id limit $3

-- name: readers
-- How far the others have read who have read a message; who may not see it has not.
select r.user_id, r.last_read_seq, r.read_at
from messenger.read_receipts r
join messenger.conversation_participants p on p.conversation_id = r.conversation_id and p.user_id = r.user_id
where r.conversation_id = $1 and r.last_read_seq >= $2 and p.first_seq <= $2 and r.user_id <> $3
order by r.read_at, r.user_id
