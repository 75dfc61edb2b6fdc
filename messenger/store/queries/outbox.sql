-- name: waiting
-- The oldest messages that nobody looked at yet.
select conversation_id, message_id, participant_count from messenger.waiting_messages($1)

-- name: audience
-- Who wants to be told of messages, and how.
select message_id, user_id, mentioned, push_enabled, email_enabled, seen_s from messenger.audience($1, $2)

-- name: hand_out
-- Take messages out of the outbox, and note what is to be handed out to whom.
select messenger.hand_out($1, $2, $3, $4, $5, $6, $7)

-- name: claim
-- Take what is due in hand for a while.
select id, conversation_id, message_id, user_ids, device_id, attempts as attempt, created_at
from messenger.claim_deliveries($1, $2, $3)

-- name: settle
-- A delivery is done with.
select messenger.settle_delivery($1, $2, $3)

-- name: put_off
-- A delivery failed.
select messenger.put_off_delivery($1, $2, $3, $4)

-- name: clear
-- Forget what was given up long ago.
select messenger.clear_deliveries()

-- name: count_waiting
-- How much waits.
select messenger.count_waiting()

-- name: recipients
-- Who of these still wants to be told of a message, and what the host application has to know of each.
select user_id, external_id, mentioned, push_enabled, email_enabled, unread_count from messenger.recipients($1, $2, $3)

-- name: notice
-- A message that the user sees, and its conversation. Its sender is told of though he has left since.
select m.*, c.type as conversation_type, c.title as conversation_title,
    u.external_id as sender_external_id, u.name as sender_name, u.avatar_url as sender_avatar_url
from messenger.messages m
join messenger.conversations c on c.id = m.conversation_id
cross join messenger.profiles(array[m.sender_id]) u
where m.conversation_id = $1 and m.id = $2
