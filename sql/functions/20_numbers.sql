-- Numbers are a law of the table: whoever writes a message, its trigger takes them, under the lock of the conversation's head.

-- Whether the owner himself brings messages over from elsewhere: they keep their times, and nobody is judged. A definer function
-- runs as the owner too, but not for him.
create or replace function messenger.is_importing() returns boolean
language sql stable
return session_user = current_user and current_setting('messenger.importing', true) = 'on';

-- Give an entry its numbers: the next change, and the next seq where it is new. The lock lasts until commit, so number order is
-- commit order. Its author is judged twice. Before the lock, so that a stranger holds up nobody; not_participant, alike for a
-- foreign conversation and for none. And under it, in a statement of its own: row-level security sees the roles of before the
-- wait, and who was removed or made an observer meanwhile writes nothing above that. System entries judge themselves.
create or replace function messenger.number_message() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    me constant bigint := messenger.current_user_id();
    is_new constant boolean := tg_op = 'INSERT';
    -- Only messenger.react can do this: nobody is granted the column.
    is_reaction constant boolean := not is_new and new.deleted_at is null and new.reactions is distinct from old.reactions;
    taken record;
    may record;
    told text;
begin
    if messenger.is_importing() then
        update messenger.conversation_heads h
        set last_seq = h.last_seq + is_new::integer, last_change = h.last_change + 1,
            active_at = case h.last_seq when 0 then new.created_at else greatest(h.active_at, new.created_at) end,
            is_jumbled = h.is_jumbled or (is_new and h.last_seq > 0 and new.created_at < h.active_at),
            touched = pg_current_xact_id()
        where h.conversation_id = new.conversation_id
        returning h.last_seq, h.last_change into taken;
        new.change := taken.last_change;
        new.seq := case when is_new then taken.last_seq else old.seq end;
        return new;
    end if;
    if is_new and new.reply_to is not null
        and messenger.conversation_of_message(new.reply_to) is distinct from new.conversation_id then
        perform messenger.fail(
            case when messenger.my_first_seq(new.conversation_id) is null then 'not_participant' else 'message_not_found' end
        );
    end if;
    update messenger.conversation_heads h
    set last_seq = h.last_seq + is_new::integer,
        last_change = h.last_change + 1,
        active_at = clock_timestamp(),
        touched = pg_current_xact_id()
    from messenger.conversation_participants p
    where h.conversation_id = new.conversation_id and p.conversation_id = new.conversation_id and p.user_id = me
    returning h.last_seq, h.last_change into taken;
    if not found then
        perform messenger.fail('not_participant');
    end if;
    new.change := taken.last_change;
    if is_new then
        new.seq := taken.last_seq;
        new.created_at := clock_timestamp();
    else
        new.seq := old.seq;
    end if;
    select p.role, p.role = 'admin' or (p.role = 'member' and c.type <> 'announcement' and new.sender_id = me) as write,
        c.type = 'direct' and messenger.are_apart(c.direct_low, c.direct_high) as apart, c.closed_at is not null as closed
    into may
    from messenger.conversation_participants p
    join messenger.conversations c on c.id = p.conversation_id
    where p.conversation_id = new.conversation_id and p.user_id = me;
    if not found then
        perform messenger.fail('not_participant');
    elsif is_reaction and may.role = 'observer' then
        perform messenger.fail('forbidden', 'Observers cannot react');
    elsif new.message_type <> 'system' and not is_reaction and not may.write then
        perform messenger.fail('forbidden');
    elsif may.closed and is_new and new.message_type <> 'system' then
        perform messenger.fail('forbidden', 'This session is closed');
    elsif may.apart and new.message_type <> 'system' and new.deleted_at is null then
        perform messenger.fail('forbidden', 'You cannot write to this user');
    end if;
    if new.deleted_at is not null then
        new.reactions := '{}';
        delete from messenger.reactions r where r.conversation_id = new.conversation_id and r.message_id = new.id;
    end if;
    -- A CHECK constraint would be parsed anew for each statement.
    if length(new.message_type) not between 1 and 64 or length(new.client_id) not between 1 and 64 then
        raise check_violation using constraint = 'messages_lengths', table = 'messages', schema = 'messenger',
            message = 'message_type or client_id does not have 1 to 64 characters';
    end if;
    -- For whoever inserts: RETURNING would be judged by every policy for reading, at a fifth of the whole cost.
    told := set_config('messenger.taken', format('{%s,%s,"%s"}', new.seq, new.change, new.created_at), true);
    return new;
end
$$;

-- A tombstone never changes; without this an author could raise his message from the dead.
create or replace function messenger.keep_tombstone() returns trigger
language plpgsql
as $$
begin
    perform messenger.fail('message_not_found');
end
$$;

create or replace trigger a_keep_tombstone before update on messenger.messages
for each row when (old.deleted_at is not null) execute function messenger.keep_tombstone();

create or replace trigger b_number_message before insert or update on messenger.messages
for each row execute function messenger.number_message();

-- The head remembers how many take part.
create or replace function messenger.count_participants() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update messenger.conversation_heads h
    set participant_count = h.participant_count + case tg_op when 'INSERT' then 1 else -1 end
    where h.conversation_id = coalesce(new.conversation_id, old.conversation_id);
    return null;
end
$$;

create or replace trigger count_participants after insert or delete on messenger.conversation_participants
for each row execute function messenger.count_participants();
