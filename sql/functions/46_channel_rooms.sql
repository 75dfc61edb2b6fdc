-- Channels as those who are in them see them.

-- What the people of a channel of mine are called by the host application: who takes part, who did, and of p_others whoever wrote
-- something there without ever having done so, as what was brought over from elsewhere may have been.
create or replace function messenger.channel_people(p_conversation_id uuid, p_others bigint[])
returns table (user_id bigint, external_id text, is_in boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select u.id, u.external_id, exists (
        select from messenger.conversation_participants p where p.conversation_id = p_conversation_id and p.user_id = u.id
    )
    from (
        select p.user_id from messenger.conversation_participants p where p.conversation_id = p_conversation_id
        union select d.user_id from messenger.conversation_departures d where d.conversation_id = p_conversation_id
        union select other.user_id from unnest(p_others) as other (user_id) where exists (
            select from messenger.messages m where m.conversation_id = p_conversation_id and m.sender_id = other.user_id
        )
    ) as who
    join messenger.users u on u.id = who.user_id
    where messenger.my_first_seq(p_conversation_id) is not null
        and exists (select from messenger.conversations c where c.id = p_conversation_id and c.channel_url is not null)
$$;
