-- A participant sees who reacted to the messages that he sees.
drop policy if exists select_participant on messenger.reactions;
create policy select_participant on messenger.reactions for select to messenger_app
    using (
        conversation_id = any (array(select messenger.my_conversation_ids()))
        and exists (
            select from messenger.messages m where m.conversation_id = reactions.conversation_id and m.id = message_id
        )
    );

-- Reacting goes through a function, which counts and takes the change.
grant select on messenger.reactions to messenger_app;
