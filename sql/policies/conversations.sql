-- A participant sees the conversation.
drop policy if exists select_participant on messenger.conversations;
create policy select_participant on messenger.conversations for select to messenger_app
    using (id = any (array(select messenger.my_conversation_ids())));

-- Making and changing one goes through functions, which write what happened into the log.
grant select on messenger.conversations to messenger_app;
