-- What nodes of the code before still call, while `migrate` has run and they are not replaced yet. Goes with the release after this one.

-- append_drafts, as it was.
create or replace function messenger.append_messages(
    p_sender_ids bigint[], p_conversation_ids uuid[], p_ids uuid[], p_client_ids text[], p_digests bytea[],
    p_contents text[], p_types text[], p_replies uuid[], p_mentions jsonb, p_attachments jsonb[], p_metadata jsonb[],
    p_notify boolean default false
)
returns table (item integer, outcome text, message messenger.messages)
language plpgsql
as $$
declare
    mentioned bigint[];
    held uuid;
    appended integer[] := '{}';
begin
    -- In a batch, a conversation that somebody holds is not waited for long: its item goes alone afterwards.
    if array_length(p_ids, 1) > 1 then
        perform set_config('lock_timeout', '100ms', true);
    end if;
    -- In the order of conversations: two batches that lock the same ones in another order would wait for each other.
    for item in select n from generate_subscripts(p_ids, 1) as n order by p_conversation_ids[n], n loop
        message := null;
        -- Waited for once: each would cost the others as much, and one that came through would overtake those before it.
        if p_conversation_ids[item] = held then
            outcome := 'locked';
            return next;
            continue;
        end if;
        begin
            perform messenger.enter(p_sender_ids[item], array[p_conversation_ids[item]]);
            if p_client_ids[item] is not null then
                select m.* into message
                from messenger.my_message_by_client_id(p_conversation_ids[item], p_client_ids[item]) as m;
            end if;
            if message.id is null then
                mentioned := messenger.mentionable(p_conversation_ids[item], p_mentions -> (item - 1));
                insert into messenger.messages (
                    conversation_id, id, sender_id, client_id, request_digest, content, message_type,
                    reply_to, mentions, attachments, metadata
                ) values (
                    p_conversation_ids[item], p_ids[item], p_sender_ids[item], p_client_ids[item], p_digests[item],
                    p_contents[item], p_types[item], p_replies[item], mentioned, p_attachments[item], p_metadata[item]
                )
                returning messages.* into message;
                outcome := 'appended';
                appended := appended || item;
            end if;
        exception
            when sqlstate 'MG001' then
                outcome := sqlerrm;
            when insufficient_privilege then
                outcome := 'forbidden';
            when lock_not_available then
                outcome := 'locked';
                held := p_conversation_ids[item];
            when unique_violation then
                -- The same client_id, committed by another node while this item waited for the numbers.
                -- Entered again: what the block above had set went with it.
                outcome := 'internal';
                perform messenger.enter(p_sender_ids[item], array[p_conversation_ids[item]]);
                select m.* into message
                from messenger.my_message_by_client_id(p_conversation_ids[item], p_client_ids[item]) as m;
        end;
        if message.id is not null and message.id <> p_ids[item] then
            outcome := case when message.request_digest = p_digests[item] then 'duplicate' else 'client_id_conflict' end;
        end if;
        return next;
    end loop;
    -- In this transaction: what is stored is told of, and nothing else is.
    if p_notify and appended <> '{}' then
        perform messenger.put_out(
            array(select p_conversation_ids[n] from unnest(appended) as n), array(select p_ids[n] from unnest(appended) as n)
        );
    end if;
end
$$;
