-- Reacting to messages. A reaction is a change of its message, with a number like every other.

-- Add or take back one reaction of mine; the same one twice counts once, and changes nothing.
-- Raises message_not_found, forbidden, conflict.
create or replace function messenger.react(
    p_message_id uuid, p_emoji text, p_add boolean, out moved boolean, out message messenger.messages
)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    me constant bigint := messenger.current_user_id();
    counted integer;
begin
    -- The entry first, then its conversation's head: an edit locks them in this order too.
    select m.* into message from messenger.messages m
    where m.conversation_id = messenger.conversation_of_message(p_message_id) and m.id = p_message_id
    for no key update;
    if message.id is null or message.deleted_at is not null then
        perform messenger.fail('message_not_found');
    elsif message.message_type = 'system' then
        perform messenger.fail('forbidden', 'Nobody reacts to a system message');
    end if;
    if p_add then
        if not message.reactions ? p_emoji and (select count(*) from jsonb_object_keys(message.reactions)) >= 100 then
            perform messenger.fail('conflict', 'A message has at most 100 different reactions');
        end if;
        insert into messenger.reactions (conversation_id, message_id, user_id, emoji)
        values (message.conversation_id, message.id, me, p_emoji)
        on conflict on constraint reactions_pk do nothing;
    else
        delete from messenger.reactions r
        where r.conversation_id = message.conversation_id and r.message_id = message.id and r.user_id = me and r.emoji = p_emoji;
    end if;
    moved := found;
    if moved then
        counted := coalesce((message.reactions ->> p_emoji)::integer, 0) + case when p_add then 1 else -1 end;
        update messenger.messages m
        set reactions = case when counted > 0 then m.reactions || jsonb_build_object(p_emoji, counted) else m.reactions - p_emoji end
        where m.conversation_id = message.conversation_id and m.id = message.id
        returning m.* into message;
    end if;
end
$$;
