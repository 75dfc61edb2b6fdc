-- name: arrive
-- Make a user known, with what his token says of him.
select tokens_not_before, profile_version from messenger.arrive($1, $2, $3, $4, $5)

-- name: revoke
-- No token of a user issued before now counts any more.
select messenger.revoke_tokens($1)

-- name: by_external_id
-- The integer id of a host's own id.
select messenger.user_by_external_id($1)

-- name: visible
-- Those of these people whom the user may see.
select u.id, u.external_id, coalesce(u.name, 'User ' || u.id) as name, u.avatar_url,
    case when not apart.is_apart then u.last_seen_at end as last_seen_at, apart.is_apart
from messenger.users u
cross join lateral (select u.id = any (array(select messenger.my_apart_ids())) as is_apart) as apart
where u.id = any ($1) order by u.id

-- name: profiles
-- Everybody of these, for the host application.
select id, external_id, name, avatar_url, last_seen_at from messenger.profiles($1)

-- name: put
-- Somebody as the host application wants him; the version of his profile where that changed.
select user_id, profile_version from messenger.put_user($1, $2, $3, $4, $5, $6)

-- name: blocks
-- Whom the user has blocked.
select blocked_id from messenger.blocks order by blocked_id

-- name: block
-- Have nothing to do with somebody any more.
select messenger.block($1, $2)

-- name: unblock
-- Take a block back.
delete from messenger.blocks where blocked_id = $1 and user_id = messenger.current_user_id() returning blocked_id
