-- A file is used where a message is that one may see; a trigger writes it down.
drop policy if exists select_reader on messenger.attachment_uses;
create policy select_reader on messenger.attachment_uses for select to messenger_app
    using (exists (
        select from messenger.messages m
        where m.conversation_id = attachment_uses.conversation_id and m.id = attachment_uses.message_id
    ));

grant select on messenger.attachment_uses to messenger_app;
