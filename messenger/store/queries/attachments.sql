-- name: insert
-- Take an upload of the user's into the books.
insert into messenger.attachments (id, uploaded_by, name, mime_type, size, width, height, has_thumbnail)
values ($1, messenger.current_user_id(), $2, $3, $4, $5, $6, $7)

-- name: find
-- An upload that the user may see.
select id, name, mime_type, size, width, height, has_thumbnail from messenger.attachments where id = $1

-- name: idle_bytes
-- How much the user has uploaded that no message carries.
select coalesce(sum(size), 0)::bigint from messenger.attachments
where uploaded_by = messenger.current_user_id() and idle_since is not null

-- name: clear
-- Take uploads out of the books that no message has carried for so long.
select messenger.clear_attachments($1, $2)
