-- name: arrive
-- Make a user known, with what his token says of him.
select tokens_not_before from messenger.arrive($1, $2, $3, $4, $5)

-- name: revoke
-- No token of a user issued before now counts any more.
select messenger.revoke_tokens($1)

-- name: by_external_id
-- The integer id of a host's own id.
select messenger.user_by_external_id($1)

-- name: visible
-- Those of these people whom the user may see.
select id, external_id, coalesce(name, 'User ' || id) as name, avatar_url, last_seen_at
from messenger.users where id = any ($1) order by id
