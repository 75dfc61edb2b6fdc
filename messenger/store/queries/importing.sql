-- name: may_import
-- Whether this connection is the owner's own.
select messenger.may_import()

-- name: bring_users
-- Make people known, or let them follow the vendor.
select vendor_id, user_id, is_new, is_changed from messenger.import_users($1)

-- name: bring_channel
-- Make a channel, or find it.
select conversation_id, outcome, joined, is_changed from messenger.import_channel($1, $2, $3)

-- name: bring_messages
-- Messages in their order, and which did not come.
select brought, parentless, gone from messenger.import_messages($1, $2, $3)

-- name: whole
-- A channel has been read to its end.
update messenger.imported_channels set is_whole = true where conversation_id = $1 and not is_whole

-- name: mend_file
-- A file that was missing.
select messenger.mend_file($1, $2, $3, $4)

-- name: last_time
-- How far one has read: when the latest was sent of those that came over last. What came late is among them, with an old time.
select max(l.created_at) from (
    select m.created_at from messenger.messages m
    join messenger.imported_messages i on i.conversation_id = m.conversation_id and i.message_id = m.id
    where m.conversation_id = $1 order by m.seq desc limit 200
) as l

-- name: known_messages
-- Which of these came over before, or are known not to have come: those are asked for by themselves.
select vendor_id from messenger.imported_messages where conversation_id = $1 and vendor_id = any ($2)
union all select vendor_id from messenger.missing_messages where conversation_id = $1 and vendor_id = any ($2)

-- name: known_sources
-- Which of these files came over before.
select source, id from messenger.attachments where source = any ($1)

-- name: missing_files
-- What did not come of messages that did.
select f.message_id, i.vendor_id, f.place, f.url, coalesce(m.attachments -> f.place ->> 'name', '') as name,
    coalesce(m.attachments -> f.place ->> 'mime_type', '') as mime_type
from messenger.missing_files f
join messenger.imported_messages i on i.conversation_id = f.conversation_id and i.message_id = f.message_id
join messenger.messages m on m.conversation_id = f.conversation_id and m.id = f.message_id
where f.conversation_id = $1 and m.deleted_at is null order by m.seq, f.place

-- name: missing_messages
-- Which did not come, and why.
select vendor_id, reason from messenger.missing_messages where conversation_id = $1 order by vendor_id

-- name: forget_message
-- One that did not come is gone there.
delete from messenger.missing_messages where conversation_id = $1 and vendor_id = $2

-- name: known_people
-- Who of these is here: by integers, and by the host's own ids.
select coalesce(u.external_id, u.id::text) as called, u.id from messenger.users u
where u.id = any ($1) or u.external_id = any ($2)

-- name: whereabouts
-- What has become of a channel: where it is, and whether an import made it.
select c.id as conversation_id, i.conversation_id is not null as is_imported
from (select $1::text as channel_url) as wanted
left join messenger.conversations c on c.channel_url = wanted.channel_url
left join messenger.imported_channels i
    on i.channel_url = wanted.channel_url and (c.id is null or i.conversation_id = c.id)

-- name: newcomers
-- How many of these would be let in.
select count(*) from unnest($2::bigint[]) as n (user_id)
where not exists (
        select from messenger.conversation_participants p where p.conversation_id = $1 and p.user_id = n.user_id
    )
    and not exists (
        select from messenger.conversation_departures d where d.conversation_id = $1 and d.user_id = n.user_id
    )
