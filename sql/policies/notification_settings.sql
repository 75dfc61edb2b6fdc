-- A participant sees and sets what he himself wants to be told of.
drop policy if exists all_own on messenger.notification_settings;
create policy all_own on messenger.notification_settings to messenger_app
    using (
        user_id = messenger.current_user_id()
        and conversation_id = any (array(select messenger.my_conversation_ids()))
    );

grant select, insert, update on messenger.notification_settings to messenger_app;
