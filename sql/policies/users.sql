-- A person sees himself.
drop policy if exists select_self on messenger.users;
create policy select_self on messenger.users for select to messenger_app
    using (id = messenger.current_user_id());

-- A person sees those with whom he shares a conversation.
drop policy if exists select_acquaintance on messenger.users;
create policy select_acquaintance on messenger.users for select to messenger_app
    using (exists (
        select from messenger.conversation_participants p
        where p.user_id = users.id and p.conversation_id = any (array(select messenger.my_conversation_ids()))
    ));

-- When tokens begin to count is nobody's business but the daemon's, which asks messenger.arrive.
grant select (id, external_id, name, avatar_url, last_seen_at, created_at, kind, public_id) on messenger.users to messenger_app;
