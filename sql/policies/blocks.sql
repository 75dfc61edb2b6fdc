-- A person sees whom he himself has blocked, and nobody sees who blocked him.
drop policy if exists select_own on messenger.blocks;
create policy select_own on messenger.blocks for select to messenger_app
    using (user_id = messenger.current_user_id());

-- A person takes his own blocks back.
drop policy if exists delete_own on messenger.blocks;
create policy delete_own on messenger.blocks for delete to messenger_app
    using (user_id = messenger.current_user_id());

-- Blocking goes through a function, which makes an unknown user known or refuses him.
grant select, delete on messenger.blocks to messenger_app;
