-- name: register
-- Let the user be told by Web Push at an address.
select id, endpoint, name, created_at from messenger.register_push_device($1, $2, $3, $4)

-- name: own
-- The user's devices, the newest first.
select id, endpoint, name, created_at from messenger.push_devices order by created_at desc, id

-- name: remove
-- Forget one of the user's devices.
delete from messenger.push_devices where id = $1 returning id

-- name: subscription
-- Where one of the user's devices is reached.
select endpoint, p256dh, auth, name from messenger.push_devices where id = $1
