-- name: arrive
-- Make users known, with what their tokens say of them; in one order, so that two nodes do not lock each other out.
select who.place, a.tokens_not_before, a.profile_version
from (
    select * from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::boolean[])
        with ordinality as who (user_id, name, avatar_url, issued_at, provision, place)
    order by user_id
) as who
cross join lateral messenger.arrive(who.user_id, who.name, who.avatar_url, who.issued_at, who.provision) as a

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
