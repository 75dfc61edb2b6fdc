-- A participant sees how far the log is.
drop policy if exists select_participant on messenger.conversation_heads;
create policy select_participant on messenger.conversation_heads for select to messenger_app
    using (conversation_id = any (array(select messenger.my_conversation_ids())));

-- Nobody moves the counters but the trigger of messages.
grant select on messenger.conversation_heads to messenger_app;
