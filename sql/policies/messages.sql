-- A participant sees the messages of his conversations.
drop policy if exists select_participant on messenger.messages;
create policy select_participant on messenger.messages for select to messenger_app
    using (conversation_id = any (array(select messenger.my_conversation_ids())));

-- Where history begins with one's joining, a newcomer sees nothing from before.
drop policy if exists select_since_joining on messenger.messages;
create policy select_since_joining on messenger.messages as restrictive for select to messenger_app
    using (not (
        conversation_id = any (array(select messenger.my_cut_conversation_ids()))
        and seq < messenger.my_first_seq(conversation_id)
    ));

-- Who may post in a conversation writes in his own name, and nothing that looks like the system's.
drop policy if exists insert_author on messenger.messages;
create policy insert_author on messenger.messages for insert to messenger_app
    with check (
        sender_id = messenger.current_user_id()
        and message_type <> 'system'
        and deleted_at is null
        and conversation_id = any (array(select messenger.my_posting_conversation_ids()))
    );

-- An author edits and deletes his own messages, as long as he may post there.
drop policy if exists update_author on messenger.messages;
create policy update_author on messenger.messages for update to messenger_app
    using (
        sender_id = messenger.current_user_id()
        and message_type <> 'system'
        and conversation_id = any (array(select messenger.my_posting_conversation_ids()))
    )
    with check (
        sender_id = messenger.current_user_id()
        and (deleted_by is null or deleted_by = messenger.current_user_id())
        and conversation_id = any (array(select messenger.my_posting_conversation_ids()))
    );

-- An admin may turn anybody's message into a tombstone, and nothing else.
drop policy if exists update_admin on messenger.messages;
create policy update_admin on messenger.messages for update to messenger_app
    using (
        message_type <> 'system'
        and conversation_id = any (array(select messenger.my_administered_conversation_ids()))
    )
    with check (
        deleted_by = messenger.current_user_id()
        and conversation_id = any (array(select messenger.my_administered_conversation_ids()))
    );

-- Nor does he alter anything from before, not even blindly: an update that reads no column asks no select policy.
drop policy if exists update_since_joining on messenger.messages;
create policy update_since_joining on messenger.messages as restrictive for update to messenger_app
    using (not (
        conversation_id = any (array(select messenger.my_cut_conversation_ids()))
        and seq < messenger.my_first_seq(conversation_id)
    ));

-- Numbers and times of creation are the trigger's; sender, type and client_id stand for ever.
grant select on messenger.messages to messenger_app;
grant insert (
    conversation_id, id, sender_id, client_id, request_digest, content, message_type, reply_to, mentions, attachments, metadata
) on messenger.messages to messenger_app;
grant update (content, mentions, attachments, metadata, edited_at, deleted_at, deleted_by) on messenger.messages to messenger_app;
