-- What the daemon may call. Everything else is closed, the functions marked "Not granted" above all.

revoke all on all functions in schema messenger from public, messenger_app;
grant execute on function
    messenger.current_user_id(), messenger.current_scope(), messenger.enter(bigint, uuid[]), messenger.fail(text, text),
    messenger.my_conversation_ids(), messenger.my_posting_conversation_ids(), messenger.my_administered_conversation_ids(),
    messenger.my_cut_conversation_ids(), messenger.my_apart_ids(), messenger.my_first_seq(uuid), messenger.conversation_of_message(uuid),
    messenger.my_unread_count(uuid, bigint),
    messenger.my_message_by_client_id(uuid, text), messenger.mentionable(uuid, jsonb), messenger.mark_read(bigint, uuid),
    messenger.history(bigint, uuid, bigint, bigint, boolean, integer), messenger.catch_up(bigint, uuid[], bigint[], integer),
    messenger.append_messages(
        bigint[], uuid[], uuid[], text[], bytea[], text[], text[], uuid[], jsonb, jsonb[], jsonb[], boolean
    ),
    messenger.append_drafts(
        bigint[], uuid[], uuid[], text[], bytea[], text[], text[], uuid[], jsonb, jsonb[], jsonb[], boolean
    ),
    messenger.put_out(uuid[], uuid[]), messenger.waiting_messages(integer), messenger.audience(uuid[], uuid[], bigint[]),
    messenger.recipients(uuid, uuid, bigint[]), messenger.hand_out(uuid[], boolean, uuid[], bigint[], boolean[], boolean[], interval),
    messenger.claim_deliveries(text, integer, interval), messenger.settle_delivery(uuid, integer, boolean),
    messenger.put_off_delivery(uuid, integer, text, interval), messenger.clear_deliveries(), messenger.count_waiting(),
    messenger.register_push_device(text, text, text, text),
    messenger.react(uuid, text, boolean),
    messenger.create_conversation(text, text, jsonb, text, bigint[], boolean),
    messenger.add_participants(uuid, bigint[], text, boolean), messenger.set_role(uuid, bigint, text),
    messenger.remove_participant(uuid, bigint), messenger.my_departure(uuid),
    messenger.former_participants(uuid), messenger.people_of(uuid, integer),
    messenger.update_conversation(uuid, boolean, text, jsonb), messenger.delete_conversation(uuid),
    messenger.epoch(), messenger.applied_migrations(), messenger.horizon(), messenger.touched_since(xid8, bigint[]),
    messenger.standing(uuid, bigint[]), messenger.standings_of(bigint[]), messenger.arrive(bigint, text, text, bigint, boolean),
    messenger.user_by_external_id(text), messenger.revoke_tokens(bigint), messenger.people_since(xid8), messenger.revoked_since(xid8),
    messenger.preferences_of(bigint), messenger.conversations_of(bigint),
    messenger.record_last_seen(bigint, timestamptz),
    messenger.profiles(bigint[]), messenger.put_user(bigint, text, text[], text, text, text),
    messenger.block(bigint, boolean),
    messenger.session_named(text), messenger.attendee(uuid, uuid, bigint), messenger.audience_of_session(uuid),
    messenger.open_session(text, text), messenger.change_session(uuid, boolean, text, boolean, boolean),
    messenger.join_session(uuid, text, text, interval), messenger.session_people(uuid),
    messenger.session_history(uuid, integer),
    messenger.answer_question(uuid), messenger.guest_key(), messenger.idle_guests(integer),
    messenger.enter_open_room(text, boolean), messenger.open_room_window(bigint, uuid, integer),
    messenger.idle_open_rooms(interval, integer), messenger.clear_open_room(uuid, interval, integer)
to messenger_app;
