-- A participant sees how far the others have read.
drop policy if exists select_participant on messenger.read_receipts;
create policy select_participant on messenger.read_receipts for select to messenger_app
    using (conversation_id = any (array(select messenger.my_conversation_ids())));

-- A reader says for himself how far he has read.
drop policy if exists insert_reader on messenger.read_receipts;
create policy insert_reader on messenger.read_receipts for insert to messenger_app
    with check (
        user_id = messenger.current_user_id()
        and conversation_id = any (array(select messenger.my_conversation_ids()))
    );

-- A reader moves his own mark.
drop policy if exists update_reader on messenger.read_receipts;
create policy update_reader on messenger.read_receipts for update to messenger_app
    using (
        user_id = messenger.current_user_id()
        and conversation_id = any (array(select messenger.my_conversation_ids()))
    );

-- A mark stands at a message that its reader sees; the foreign key alone would tell whether a hidden one exists.
drop policy if exists all_seen on messenger.read_receipts;
create policy all_seen on messenger.read_receipts as restrictive to messenger_app
    using (true)
    with check (exists (
        select from messenger.messages m
        where m.conversation_id = read_receipts.conversation_id and m.id = message_id and m.seq = last_read_seq
    ));

grant select on messenger.read_receipts to messenger_app;
grant insert (conversation_id, user_id, message_id, last_read_seq) on messenger.read_receipts to messenger_app;
grant update (message_id, last_read_seq, read_at) on messenger.read_receipts to messenger_app;
