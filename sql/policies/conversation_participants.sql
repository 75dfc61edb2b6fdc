-- A participant sees who else takes part.
drop policy if exists select_participant on messenger.conversation_participants;
create policy select_participant on messenger.conversation_participants for select to messenger_app
    using (conversation_id = any (array(select messenger.my_conversation_ids())));

-- Coming, going and roles go through functions, which write what happened into the log.
grant select on messenger.conversation_participants to messenger_app;
