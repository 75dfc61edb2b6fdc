-- A user sees his own devices, and theirs alone are the keys that he sees.
drop policy if exists select_own on messenger.push_devices;
create policy select_own on messenger.push_devices for select to messenger_app
    using (user_id = messenger.current_user_id());

-- A user removes his own devices.
drop policy if exists delete_own on messenger.push_devices;
create policy delete_own on messenger.push_devices for delete to messenger_app
    using (user_id = messenger.current_user_id());

-- Registering goes through a function: an address that was another user's becomes one's own.
grant select (id, user_id, endpoint, p256dh, auth, name, created_at, renewed_at), delete on messenger.push_devices to messenger_app;
