-- name: find
-- A channel of the user's by the host application's name.
select id from messenger.conversations where channel_url = $1

-- name: people
-- What the people of a channel are called by the host application.
select user_id, external_id, is_in from messenger.channel_people($1, $2)
