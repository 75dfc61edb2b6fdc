-- Writing messages. These run as the caller: row-level security judges every row.

-- My own message of a client_id, visible or not any more, so that a retry never makes a second one.
create or replace function messenger.my_message_by_client_id(p_conversation_id uuid, p_client_id text)
returns setof messenger.messages
language sql stable security definer set search_path = pg_catalog, pg_temp rows 1
as $$
    select m.* from messenger.messages m
    where m.conversation_id = p_conversation_id
        and m.sender_id = messenger.current_user_id()
        and m.client_id = p_client_id
        and messenger.my_first_seq(p_conversation_id) is not null
$$;

-- Store a batch. Each item is judged on its own as its own sender; a bad one takes no other down.
-- outcome: appended (with what its row has beside the draft; where it has attachments, with the whole row), duplicate (with the
-- message that is stored), locked (somebody held the conversation: send it alone), or an error's code. p_notify: whoever is away
-- may have to be told.
create or replace function messenger.append_drafts(
    p_sender_ids bigint[], p_conversation_ids uuid[], p_ids uuid[], p_client_ids text[], p_digests bytea[],
    p_contents text[], p_types text[], p_replies uuid[], p_mentions jsonb, p_attachments jsonb[], p_metadata jsonb[],
    p_notify boolean default false
)
returns table (
    item integer, outcome text, seq bigint, change bigint, created_at timestamptz, mentions bigint[], stored messenger.messages
)
language plpgsql
as $$
declare
    taken text[];
    held uuid;
    appended integer[] := '{}';
begin
    -- In a batch, a conversation that somebody holds is not waited for long: its item goes alone afterwards.
    if array_length(p_ids, 1) > 1 then
        perform set_config('lock_timeout', '100ms', true);
    end if;
    -- In the order of conversations: two batches that lock the same ones in another order would wait for each other.
    for item in select n from generate_subscripts(p_ids, 1) as n order by p_conversation_ids[n], n loop
        -- Waited for once: each would cost the others as much, and one that came through would overtake those before it.
        if p_conversation_ids[item] = held then
            outcome := 'locked';
            return next;
            continue;
        end if;
        seq := null;
        change := null;
        created_at := null;
        stored := null;
        begin
            perform messenger.enter(p_sender_ids[item], array[p_conversation_ids[item]]);
            mentions := '{}';
            if p_mentions -> (item - 1) <> '[]' then
                mentions := messenger.mentionable(p_conversation_ids[item], p_mentions -> (item - 1));
            end if;
            insert into messenger.messages (
                conversation_id, id, sender_id, client_id, request_digest, content, message_type,
                reply_to, mentions, attachments, metadata
            ) values (
                p_conversation_ids[item], p_ids[item], p_sender_ids[item], p_client_ids[item], p_digests[item],
                p_contents[item], p_types[item], p_replies[item], mentions, p_attachments[item], p_metadata[item]
            );
            taken := current_setting('messenger.taken');
            seq := taken[1];
            change := taken[2];
            created_at := taken[3];
            -- Attachments are what they are, not what their sender said of them.
            if p_attachments[item] <> '[]' then
                select m.* into stored from messenger.messages m
                where m.conversation_id = p_conversation_ids[item] and m.id = p_ids[item];
            end if;
            outcome := 'appended';
            appended := appended || item;
        exception
            when sqlstate 'MG001' then
                outcome := sqlerrm;
            when insufficient_privilege then
                outcome := 'forbidden';
            when lock_not_available then
                outcome := 'locked';
                held := p_conversation_ids[item];
            when unique_violation then
                outcome := 'internal';
        end;
        -- A retry of what was stored before, whatever its sender may do by now. He is entered again: what the block above had set
        -- went with it, and so did the numbers that it took.
        if outcome not in ('appended', 'locked') and p_client_ids[item] is not null then
            perform messenger.enter(p_sender_ids[item], array[p_conversation_ids[item]]);
            select m.* into stored
            from messenger.my_message_by_client_id(p_conversation_ids[item], p_client_ids[item]) as m;
            if stored.id is not null then
                outcome := case when stored.request_digest = p_digests[item] then 'duplicate' else 'client_id_conflict' end;
            end if;
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

-- Of the ids that a sender mentions, those that take part, in his order.
create or replace function messenger.mentionable(p_conversation_id uuid, p_user_ids jsonb) returns bigint[]
language plpgsql stable
as $$
begin
    if p_user_ids is null or jsonb_array_length(p_user_ids) = 0 then
        return '{}';
    end if;
    return (
        select coalesce(array_agg(p.user_id order by wanted.place), '{}')
        from jsonb_array_elements_text(p_user_ids) with ordinality as wanted (user_id, place)
        join messenger.conversation_participants p
            on p.conversation_id = p_conversation_id and p.user_id = wanted.user_id::bigint
    );
end
$$;

-- Read everything up to a message; never backwards.
create or replace function messenger.mark_read(p_user_id bigint, p_message_id uuid)
returns table (
    conversation_id uuid, message_id uuid, last_read_seq bigint, read_at timestamptz,
    unread_count bigint, moved boolean, participant_count integer
)
language plpgsql
as $$
#variable_conflict use_column
declare
    target uuid;
    target_seq bigint;
begin
    perform messenger.enter(p_user_id);
    target := messenger.conversation_of_message(p_message_id);
    if target is null then
        perform messenger.fail('message_not_found');
    end if;
    perform messenger.enter(p_user_id, array[target]);
    select m.seq into target_seq from messenger.messages m where m.conversation_id = target and m.id = p_message_id;
    insert into messenger.read_receipts as r (conversation_id, user_id, message_id, last_read_seq)
    values (target, p_user_id, p_message_id, target_seq)
    on conflict (conversation_id, user_id) do update
        set message_id = excluded.message_id, last_read_seq = excluded.last_read_seq, read_at = clock_timestamp()
        where r.last_read_seq < excluded.last_read_seq;
    moved := found;
    return query
        select r.conversation_id, r.message_id, r.last_read_seq, r.read_at,
            messenger.my_unread_count(r.conversation_id, r.last_read_seq), moved, h.participant_count
        from messenger.read_receipts r
        join messenger.conversation_heads h on h.conversation_id = r.conversation_id
        where r.conversation_id = target and r.user_id = p_user_id;
end
$$;

-- A page of a conversation's messages between two places: the first ones above p_after, or the last ones below p_before, newest
-- first.
create or replace function messenger.history(
    p_user_id bigint, p_conversation_id uuid, p_after bigint, p_before bigint, p_forward boolean, p_limit integer
)
returns setof messenger.messages
language plpgsql
as $$
begin
    perform messenger.enter(p_user_id, array[p_conversation_id]);
    if messenger.my_first_seq(p_conversation_id) is null then
        perform messenger.fail('not_participant');
    end if;
    if p_forward then
        return query select * from messenger.messages m
            where m.conversation_id = p_conversation_id and m.seq > p_after and m.seq < p_before
            order by m.seq limit p_limit;
    else
        return query select * from messenger.messages m
            where m.conversation_id = p_conversation_id and m.seq > p_after and m.seq < p_before
            order by m.seq desc limit p_limit;
    end if;
end
$$;

-- Of each of my conversations that are named the first changes above its cursor, ascending; without one the newest messages, newest
-- first; and the numbers around them.
create or replace function messenger.catch_up(
    p_user_id bigint, p_conversation_ids uuid[], p_cursors bigint[], p_limit integer
)
returns table (
    conversation_id uuid, last_change bigint, first_seq bigint, last_seq bigint,
    last_read_seq bigint, unread_count bigint, messages messenger.messages[]
)
language plpgsql
as $$
#variable_conflict use_column
begin
    perform messenger.enter(p_user_id, p_conversation_ids);
    -- One statement, so that all of it is of one moment.
    return query
        select h.conversation_id, h.last_change, p.first_seq, h.last_seq, coalesce(r.last_read_seq, 0),
            messenger.my_unread_count(h.conversation_id, coalesce(r.last_read_seq, 0)),
            case when wanted.cursor is null then array(
                select m from messenger.messages m
                where m.conversation_id = h.conversation_id order by m.seq desc limit p_limit
            ) else array(
                select m from messenger.messages m
                where m.conversation_id = h.conversation_id and m.change > wanted.cursor order by m.change limit p_limit
            ) end
        from unnest(p_conversation_ids, p_cursors) as wanted (conversation_id, cursor)
        join messenger.conversation_heads h on h.conversation_id = wanted.conversation_id
        join messenger.conversation_participants p on p.conversation_id = h.conversation_id and p.user_id = p_user_id
        left join messenger.read_receipts r on r.conversation_id = h.conversation_id and r.user_id = p_user_id;
end
$$;
