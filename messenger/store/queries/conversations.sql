-- name: one
-- One conversation as its participant sees it.
select c.id, c.type, c.title, c.metadata, c.created_by, c.created_at, c.updated_at, c.history, c.join_code, c.closed_at, c.channel_url,
    h.participant_count, h.last_seq, h.last_change, p.first_seq, p.role, p.joined_change
from messenger.conversations c
join messenger.conversation_heads h on h.conversation_id = c.id
join messenger.conversation_participants p on p.conversation_id = c.id and p.user_id = messenger.current_user_id()
where c.id = $1

-- name: overview
-- A page of the user's list, latest activity first, with what a list shows.
select c.id, c.type, c.title, c.metadata, c.created_by, c.created_at, c.updated_at, c.history, c.join_code, c.closed_at, c.channel_url,
    h.participant_count, h.last_seq, h.last_change, p.first_seq, p.role, p.joined_change, h.active_at,
    coalesce(r.last_read_seq, 0) as last_read_seq,
    messenger.my_unread_count(c.id, coalesce(r.last_read_seq, 0)) as unread_count,
    n.level, n.muted_until, n.push_enabled, n.email_enabled,
    to_jsonb(last) - 'request_digest' as last_message, messenger.people_of(c.id, 4) as people
from messenger.conversation_participants p
join messenger.conversations c on c.id = p.conversation_id
join messenger.conversation_heads h on h.conversation_id = p.conversation_id
left join messenger.read_receipts r on r.conversation_id = p.conversation_id and r.user_id = p.user_id
left join messenger.notification_settings n on n.conversation_id = p.conversation_id and n.user_id = p.user_id
left join messenger.messages last on last.conversation_id = p.conversation_id and last.seq = h.last_seq
where p.user_id = messenger.current_user_id()
    and ($1::timestamptz is null or (h.active_at, h.conversation_id) < ($1, $2))
order by h.active_at desc, h.conversation_id desc
limit $3

-- name: states
-- What changed in conversations above cursors, and the numbers around it.
select conversation_id, last_change, first_seq, last_seq, last_read_seq, unread_count, messages
from messenger.catch_up($1, $2, $3, $4)

-- name: reading
-- How far the user has read in a conversation, and what is unread.
select coalesce(r.last_read_seq, 0) as last_read_seq,
    messenger.my_unread_count($1, coalesce(r.last_read_seq, 0)) as unread_count
from (select) as nothing
left join messenger.read_receipts r on r.conversation_id = $1 and r.user_id = messenger.current_user_id()

-- name: participants
-- Who takes part, who came first stands first.
select p.user_id, coalesce(u.name, 'User ' || u.id) as name, u.avatar_url, p.role, p.joined_at,
    case when not apart.is_apart then u.last_seen_at end as last_seen_at,
    coalesce(r.last_read_seq, 0) as last_read_seq, apart.is_apart
from messenger.conversation_participants p
join messenger.users u on u.id = p.user_id
cross join lateral (select u.id = any (array(select messenger.my_apart_ids())) as is_apart) as apart
left join messenger.read_receipts r on r.conversation_id = p.conversation_id and r.user_id = p.user_id
where p.conversation_id = $1
order by p.joined_at, p.user_id
limit $2

-- name: former_participants
-- Who left it, latest first.
select user_id, name, avatar_url from messenger.former_participants($1)

-- name: notification
-- What the user wants to be told of here; no row where he never said.
select level, muted_until, push_enabled, email_enabled from messenger.notification_settings
where conversation_id = $1 and user_id = messenger.current_user_id()

-- name: set_notification
-- What he wants to be told of from now on.
insert into messenger.notification_settings as n
    (conversation_id, user_id, level, muted_until, push_enabled, email_enabled)
values ($1, messenger.current_user_id(), $2, $3, $4, $5)
on conflict on constraint notification_settings_pk do update set
    level = excluded.level, muted_until = excluded.muted_until,
    push_enabled = excluded.push_enabled, email_enabled = excluded.email_enabled

-- name: create
-- Make one; a second direct one for the same pair is the first.
select conversation_id, created, told from messenger.create_conversation($1, $2, $3, $4, $5, $6)

-- name: add_participants
-- Let people in.
select * from messenger.add_participants($1, $2, $3, $4) order by change

-- name: set_role
-- Change somebody's role.
select * from messenger.set_role($1, $2, $3) order by change

-- name: remove_participant
-- Leave, or remove somebody.
select * from messenger.remove_participant($1, $2) order by change

-- name: update
-- Change title or metadata.
select * from messenger.update_conversation($1, $2, $3, $4)

-- name: delete
-- Delete with everything in it; the ids of those who took part.
select * from messenger.delete_conversation($1)
