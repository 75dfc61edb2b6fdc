-- name: people_called
-- Those of these people whom there are.
select named, user_id from messenger.people_called($1)

-- name: call_people
-- The same, made where there is none.
select named, user_id from messenger.call_people($1, $2)

-- name: accounts
-- People as the host application keeps them.
select id, external_id, name, avatar_url, metadata, created_at, last_seen_at, is_deleted from messenger.accounts($1)

-- name: accounts_page
-- A page of everybody's ids.
select messenger.accounts_page($1, $2)

-- name: make_account
-- Somebody new; the version of his profile where he has one.
select user_id, profile_version from messenger.make_account($1, $2, $3, $4)

-- name: change_account
-- Somebody else of a person; the version of his profile where that changed.
select messenger.change_account($1, $2, $3, $4, $5)

-- name: delete_account
-- Nobody any more: since when his tokens do not count, and the version of his profile.
select tokens_not_before, profile_version from messenger.delete_account($1)

-- name: memberships
-- The conversations that somebody takes part in.
select messenger.conversations_of($1)

-- name: called
-- Channels by their names.
select conversation_id as id, channel_url as url, channel_no as number, title, metadata, created_by, created_at,
    participant_count, admin_id, is_arriving
from messenger.channels_called($1)

-- name: page
-- The names of a page of channels, and where it ends.
select channel_url, at, conversation_id from messenger.channels_page($1, $2, $3, $4, $5, $6, $7)

-- name: create
-- Make one; its conversation.
select messenger.create_channel($1, $2, $3, $4, $5, $6)

-- name: change
-- Another title, other metadata.
select * from messenger.change_channel($1, $2, $3, $4)

-- name: invite
-- Let people in.
select * from messenger.invite_to_channel($1, $2) order by change

-- name: revive
-- Bring somebody into one that is empty.
select * from messenger.revive_channel($1, $2)

-- name: delete_empty
-- Delete one that is empty; its conversation.
select messenger.delete_empty_channel($1)

-- name: members
-- Who is in it, who came first stands first, from above a place on.
select user_id, role, joined_at from messenger.conversation_participants
where conversation_id = $1 and ($2::timestamptz is null or (joined_at, user_id) > ($2, $3))
order by joined_at, user_id limit $4

-- name: announce
-- Say what is nobody's word.
select * from messenger.announce_in_channel($1, $2, $3, $4)

-- name: retract
-- Take that back.
select * from messenger.retract_in_channel($1, $2)

-- name: message
-- A message by its place, or by the vendor's id.
select * from messenger.channel_message($1, $2, $3, $4)

-- name: last_said
-- What was said last in each.
select message, vendor_id from messenger.last_said($1, $2)

-- name: said_around
-- What was said around a place.
select message, vendor_id from messenger.said_around($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: edit
-- Other content or metadata of one's own message; its trigger takes the change.
update messenger.messages
set content = coalesce($2, content), edited_at = clock_timestamp(),
    metadata = (metadata || $3) - array(select f.key from jsonb_each($3) as f where f.value = 'null')
where id = $1 and sender_id = messenger.current_user_id()
returning *
