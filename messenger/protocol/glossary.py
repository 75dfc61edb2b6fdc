"""The words of the contract: what each field means and looks like, wherever it stands (`type` of a conversation is told apart
as `Conversation.type`). A document explains every field with them, and makes its examples of them."""

from typing import Any, NamedTuple

# An example that is made of the examples of what is inside.
OF_ITS_PARTS: Any = object()


class Word(NamedTuple):
    """What a field means, and a value that it may have."""

    meaning: str
    example: Any = OF_ITS_PARTS


# Of one story: Ann (1) and Ben (2) plan a hike.
CONVERSATION_ID = "01890b3c-7d5e-7a41-9f3c-2b6d1c0a5e11"
MESSAGE_ID = "01890b3c-9a10-7c52-8d4e-6f1b2a3c4d22"
EARLIER_MESSAGE_ID = "01890b3c-8b00-7b00-8a00-1a2b3c4d5e00"
PUSH_DEVICE_ID = "3f1c9a52-6f0e-4b7d-9a55-0d3f2b8c7e61"
ATTACHMENT_ID = "01890b3c-a0d1-7f3e-9b6c-7c2d3e4f5a77"
ATTACHMENT_LINK = (
    f"/api/v1/messenger/attachments/{ATTACHMENT_ID}/content?expires=1773480900"
    "&signature=u8yiuiT8Lh4sV0EXAMPLEONLYwQ1hJ3m8mUJx0o2n3Y"
)
PUBLIC_ID = "6a1f4b0e-0f5c-4c57-9a3e-5d1b7f2c8e94"
CLIENT_ID = "f3b0c7a2d9e84c55"
CURSOR = "MTc3MzQ4MDQxMzU4OTc5MzowMTg5MGIzYy03ZDVlLTdhNDEtOWYzYy0yYjZkMWMwYTVlMTE="
AT = "2026-03-14T09:26:53.589793Z"
LATER = "2026-03-14T09:31:02.718281Z"

WORDS: dict[str, Word] = {
    # Ids and numbers.
    "id": Word("Its id.", MESSAGE_ID),
    "Conversation.id": Word("Its id.", CONVERSATION_ID),
    "OwnConversation.id": Word("Its id.", CONVERSATION_ID),
    "Overview.id": Word("Its id.", CONVERSATION_ID),
    "User.id": Word("The user's id, an integer.", 2),
    "OwnUser.id": Word("The user's id, an integer.", 1),
    "conversation_id": Word("The conversation.", CONVERSATION_ID),
    "message_id": Word("The message.", MESSAGE_ID),
    "user_id": Word("The user, by the integer id that tokens carry.", 2),
    "user_ids": Word("Users, by their integer ids.", [2, 3]),
    "ids": Word("Users, by their integer ids, separated by commas.", [2, 3]),
    "participant_ids": Word("Who else takes part, by integer ids; the maker need not be named.", [2, 3]),
    "sender_id": Word("Who wrote it.", 1),
    "seq": Word("The message's place in its conversation: 1, 2, 3 … without holes.", 41),
    "change": Word(
        "The number of this alteration, or of the message's latest one; a conversation counts without holes.", 57
    ),
    "after": Word("Covers the changes after + 1 to `change`. Where it is absent it is `change` - 1.", 54),
    "first_seq": Word("The lowest `seq` that this user may see.", 1),
    "last_seq": Word("The highest `seq` of the conversation; 0 while it is empty.", 41),
    "last_change": Word("The highest `change` of the conversation: a device's cursor once it holds everything.", 57),
    "last_read_seq": Word("Read up to here; 0 before anything was read.", 40),
    "unread_count": Word("How many messages of others are not read yet. System messages never count.", 1),
    "participant_count": Word("How many take part.", 3),
    # Messages.
    "content": Word(
        "What it says: not only white space, 4,000 characters unless configured; empty with an attachment. Null once deleted.",
        "Bring the map",
    ),
    "message_type": Word("`text`, `image`, `file`, `question` or your own word; `system` is the daemon's.", "text"),
    "client_id": Word(
        "Makes sending idempotent: the same one again is the same message. Random, everybody sees it.", CLIENT_ID
    ),
    "reply_to": Word("The message that this one answers.", EARLIER_MESSAGE_ID),
    "mentions": Word("Participants who are addressed by name; who takes no part is dropped.", [2]),
    "attachments": Word("At most 10 files, by address."),
    "Reactions.reactions": Word("One entry for each emoji of each person."),
    "reactions": Word("How often each emoji was given.", {"👍": 2}),
    "emoji": Word("The reaction; the same one twice by one user counts once.", "👍"),
    "metadata": Word(
        "An object of your own, kept as it is: at most 64 KiB, nested no deeper than 16.", {"colour": "green"}
    ),
    "created_at": Word("When it was made.", AT),
    "edited_at": Word("When it was edited last; null if never.", None),
    "deleted_at": Word("When it was deleted; null if it was not.", None),
    "deleted_by": Word("Who deleted it.", 1),
    "Attachment.url": Word(
        "Where the file lies: an upload's path, or any http(s) address or path of the host's.",
        "https://files.example.org/map.png",
    ),
    "Attachment.name": Word("What it is called.", "map.png"),
    "Attachment.size": Word("In bytes.", 48213),
    "Attachment.mime_type": Word("What it is.", "image/png"),
    # Conversations and people.
    "type": Word(
        "`direct` (two people, one for each pair), `group`, `announcement` (only admins post) or `room`.", "group"
    ),
    "CreateConversation.type": Word(
        "`direct` (two people, one for each pair), `group` or `announcement` (only admins post).", "group"
    ),
    "title": Word("Its title; null where it has none.", "Hike on Sunday"),
    "created_by": Word("Who made it.", 1),
    "updated_at": Word("When title or metadata changed last.", AT),
    "history": Word("`all`, or `joined`: newcomers see nothing from before they came.", "all"),
    "my_role": Word("The role of the user who asks.", "admin"),
    "role": Word("`admin`, `member`, or `observer`, who only reads.", "member"),
    "by": Word("Who did it; null where nobody of the conversation did.", 1),
    "name": Word("What somebody is called.", "Ben"),
    "avatar_url": Word("A picture; null where there is none.", "https://example.org/ben.png"),
    "external_id": Word("The host application's own id. 1 to 128 characters, not only digits.", "user-ben"),
    "online": Word("Whether a device of the user is connected, to any node.", True),
    "devices": Word("How many devices are connected; only told of oneself.", 2),
    "last_seen_at": Word("When the last device went; null if none was ever seen.", AT),
    "people": Word("Up to four of the others: enough for a title and a picture."),
    "former": Word("Who was here and left; their messages are still read."),
    "participants": Word("Who takes part; who came first stands first."),
    "users": Word("One entry for each."),
    "conversation": Word("The conversation as it is now; null once deleted."),
    "conversations": Word("One entry for each conversation."),
    "last_message": Word("The latest message; null while there is none."),
    "messages": Word("Ascending by `seq`."),
    "data": Word("The whole message as it is now: apply it by `id`."),
    "receipts": Word("One entry for each reader, without the sender."),
    "read_at": Word("When it was read.", LATER),
    "join_code": Word("By which guests come into a live session.", "K7PMWXQ4"),
    "Conversation.status": Word("Of a live session: `active` or `closed`.", "active"),
    "OwnConversation.status": Word("Of a live session: `active` or `closed`.", "active"),
    "Session.status": Word("`active`, or `closed`: it admits nobody and takes no messages.", "active"),
    "OpenedSession.status": Word("`active`, or `closed`: it admits nobody and takes no messages.", "active"),
    "SessionStatus.status": Word("`active`, or `closed`: it admits nobody and takes no messages.", "active"),
    "ChangeSession.status": Word("`active`, or `closed`: it admits nobody and takes no messages.", "active"),
    "Overview.status": Word("Of a live session: `active` or `closed`.", "active"),
    "state": Word("What the presenter shows: an object of your own, up to 16 KiB, kept for an hour.", {"slide": 3}),
    # Live sessions and open rooms.
    "session_code": Word("By which guests come into a live session; in a path in any case.", "K7PMWXQ4"),
    "OpenSession.session_code": Word(
        "6 to 12 of A-Z and 0-9; where it is absent one is made, without look-alikes.", "K7PMWXQ4"
    ),
    "participant_id": Word("A participant, by the id that joining gave; `me` for a user with a token.", PUBLIC_ID),
    "channel_url": Word("What the host application calls the channel: 1 to 100 of A-Za-z0-9_-.", "hike-on-sunday"),
    "room_id": Word("The room's name: 1 to 64 of A-Za-z0-9_-.", "lobby"),
    "nickname": Word("What the others read: 2 to 20 letters, digits and spaces of any script.", "Zoë"),
    "joined_at": Word("When he came in first.", AT),
    "is_online": Word("Whether he has a connection, to any node.", True),
    "participant": Word("Whoever asks, as the others see him."),
    "session": Word("The session."),
    "SessionParticipant.id": Word("What the session calls him by.", PUBLIC_ID),
    "Session.id": Word("Its id.", CONVERSATION_ID),
    "OpenedSession.id": Word("Its id.", CONVERSATION_ID),
    "JoinedSession.id": Word("Its id.", CONVERSATION_ID),
    "Joined.message": Word("For people.", "Welcome, Zoë"),
    "Joined.token": Word(
        "Opens this session for a day, and nothing else.", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    ),
    "online_participants": Word("Who of them has a connection, by the ids of participants.", [PUBLIC_ID]),
    "online_count": Word("How many that are.", 1),
    "total_participants": Word("How many there are, hosts aside.", 1),
    # Notifications.
    "notification": Word("What the user wants to be told of here."),
    "level": Word("`all`, `mentions` or `none`.", "mentions"),
    "muted_until": Word("Nothing is told before this time; null if not muted.", None),
    "push_enabled": Word("Whether it is pushed to devices that are not connected.", True),
    "email_enabled": Word("Whether the host application may send a mail.", False),
    "mentioned": Word("Whether the user was addressed by name.", True),
    "public_key": Word(
        "The daemon's key for Web Push (VAPID), in base64url.",
        "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM",
    ),
    "push_device_id": Word("The device, by the id that registering it gave.", PUSH_DEVICE_ID),
    "endpoint": Word("Where the browser's push service takes messages for it.", "https://push.example.org/v1/gAAAAB"),
    "endpoint_host": Word("The host of its push service.", "push.example.org"),
    "keys": Word("The keys of the browser's subscription, in base64url."),
    "p256dh": Word(
        "Its public key on P-256.",
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    ),
    "auth": Word("Its secret, 16 bytes.", "BTBZMqHH6r4Tts7J_aSIgg"),
    "PushDevice.id": Word("Its id.", PUSH_DEVICE_ID),
    "PushDevice.name": Word("What its user calls it; null where he does not.", "Firefox at home"),
    "RegisterDevice.name": Word("What its user calls it.", "Firefox at home"),
    "PushDevices.devices": Word("One entry for each."),
    "attachment_id": Word("The file, by the id that uploading it gave.", ATTACHMENT_ID),
    **{
        f"{told}.{name}": word
        for told in ("Upload", "CarriedAttachment")
        for name, word in {
            "url": Word("What a message names it by.", f"/api/v1/messenger/attachments/{ATTACHMENT_ID}"),
            "name": Word("What it is called, without a path.", "trail.jpg"),
            "size": Word("In bytes.", 482133),
            "mime_type": Word("What its bytes say that it is.", "image/jpeg"),
            "width": Word("Pixels, as it is shown; of pictures that the daemon reads.", 4032),
            "height": Word("Pixels, as it is shown; of pictures that the daemon reads.", 3024),
            "thumbnail": Word("Whether there is a small picture of it.", True),
        }.items()
    },
    "Upload.id": Word("Its id.", ATTACHMENT_ID),
    "AttachmentLinks.url": Word("Its bytes. Asks for no token, and soon expires.", ATTACHMENT_LINK),
    "thumbnail_url": Word("A small picture of it; null where there is none.", None),
    "AttachmentLinks.expires_at": Word("Until when.", LATER),
    "thumbnail": Word("1: the small picture instead.", "1"),
    "expires": Word("Until when the link holds, in seconds since 1970.", "1773480900"),
    "signature": Word("That the daemon made this link.", "u8yiuiT8Lh4sV0EXAMPLEONLYwQ1hJ3m8mUJx0o2n3Y"),
    "Upload.file": Word("The file. What it claims to be counts for nothing; its name does."),
    # Paging and catching up.
    "limit": Word("How many at most; 200 where more is asked for.", 50),
    "cursor": Word("`next_cursor` of the page before.", CURSOR),
    "next_cursor": Word("Leads to the next page; null at the end.", None),
    "before_seq": Word("Only messages below this `seq`.", 42),
    "after_seq": Word("Only messages above this `seq`.", 1),
    "more": Word("Whether there is more in the direction of paging; for `sync`: send the new cursors again.", False),
    "cursors": Word(
        "The highest `change` that you have applied, for each conversation that you hold.", {CONVERSATION_ID: 54}
    ),
    "changes": Word("Whole messages whose latest change is above your cursor, ascending by `change`."),
    "epoch": Word("Names this database's history: another one after a restore, then drop what you hold.", "k3q9x2"),
    "removed": Word("Conversations that you named and no longer take part in.", []),
    "reset": Word("Drop what you hold of this conversation and begin with these.", True),
    # Frames.
    "ref": Word("Your own mark, up to 64 characters: the direct answer carries it too.", "r1"),
    "for": Word("The type of the frame that is answered.", "message.edit"),
    "duplicate": Word("Stored before under the same `client_id`: nothing new was made.", True),
    "is_typing": Word("True for as long as somebody types; it counts for 5 s unless repeated.", True),
    "timestamp": Word("When it happened, by the daemon's clock.", AT),
    "token": Word("A new JWT of the same user.", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"),
    "expires_at": Word("When the new token ends; null without authentication.", LATER),
    "expires_in_s": Word("Seconds until the token ends: send a new one by `auth.refresh`.", 60),
    "event": Word("Which of the daemon's own announcements it is.", "connected"),
    "message": Word("For people: fixed where the contract quotes it.", "Connected to messenger"),
    "device_id": Word("The device's name: its own, or one that the daemon gave it.", "web-7f3a"),
    "connection_id": Word("Names this connection in the daemon's log.", "9c1f3e5a7b2d4f60"),
    "heartbeat_s": Word("The daemon pings so often; a device silent for two of them is dropped.", 25),
    "protocol": Word("The version of this contract.", "messenger.v1"),
    "device": Word(
        "A name that the client keeps across reconnects, of A-Za-z0-9._-; a bad one is replaced.", "web-7f3a"
    ),
    "file": Word("A file's name.", "docs.css"),
    "Idempotency-Key": Word("The `client_id` of the message.", CLIENT_ID),
    # Failures.
    "code": Word("What failed, as a word for programs.", "invalid_frame"),
    "field": Word("Which field is wrong.", "content"),
    "reason": Word("Why a token is refused.", "token_expired"),
    "retry_after_s": Word("Seconds after which it may be tried again.", 0.5),
    "Problem.type": Word("RFC 9457: `about:blank`, the status says it all.", "about:blank"),
    "Problem.title": Word("The status in words.", "Unprocessable Content"),
    "status": Word("The HTTP status again.", 422),
    "detail": Word("The same as `message`.", "content is required"),
    # Operation.
    "tokens_not_before": Word("Tokens issued before this second are refused from now on.", AT),
    "Healthy.status": Word("The process lives.", "ok"),
    "Ready.status": Word("Whether requests should be sent here.", "ready"),
    "database": Word("Whether PostgreSQL answers.", "ok"),
    "bus": Word("Whether Redis answers; the daemon works without it.", "ok"),
    "online_users": Word("Users with a device.", 2),
    "total_connections": Word("Devices.", 3),
    "active_conversations": Word("Conversations with somebody who is here.", 1),
    "nodes": Word("Processes of the daemon, on all machines.", 2),
    "cluster": Word("The same of all nodes together."),
}

# The Platform API's fields, as a vendor's API has them. Its times are whole numbers: milliseconds, but for when channels and people
# were made, in seconds.
_MS, _S = 1773480413589, 1773480413
_PERSON = "The person: the host's own id, or the daemon's as text."
_OWN_DATA = "Text of the host's own; empty where there is none."
WORDS |= {
    "platform.user_id": Word(_PERSON, "user-ben"),
    **{
        f"{schema}.user_id": Word(_PERSON, "user-ben")
        for schema in ("Sender", "PlatformUser", "PlatformMember", "MakeUser")
    },
    "SayInChannel.user_id": Word("Who says it: a member. Not needed for ADMM.", "user-ann"),
    **{
        f"{schema}.user_ids": Word(
            "People, by the host's own ids or by the daemon's as text.", ["user-ann", "user-ben"]
        )
        for schema in ("MakeChannel", "Invite", "Leave")
    },
    **{
        f"{schema}.users": Word("The same people as objects with a `user_id`.", [{"user_id": "user-cyd"}])
        for schema in ("MakeChannel", "Invite")
    },
    "PlatformUsers.users": Word("One entry for each."),
    "operator_ids": Word("Who of them are operators: admins of the conversation.", ["user-ann"]),
    "inviter_id": Word("Who made it; no member by that.", "user-ann"),
    "should_leave_all": Word("Everybody leaves.", False),
    **{
        f"{schema}.name": Word("The channel's title; empty where it has none.", "Hike on Sunday")
        for schema in ("MakeChannel", "ChangeChannel", "PlatformChannel")
    },
    "PlatformFile.name": Word("What it is called.", "map.png"),
    "PlatformFile.type": Word("Its media type.", "image/png"),
    "PlatformFile.size": Word("In bytes.", 48213),
    "PlatformFile.url": Word("Where it lies. An upload's address soon expires.", "https://files.example.org/map.png"),
    **{
        f"{schema}.data": Word(_OWN_DATA, '{"trip":7}')
        for schema in (
            "MakeChannel",
            "ChangeChannel",
            "PlatformChannel",
            "SayInChannel",
            "ChangeMessage",
            "PlatformMessage",
            "PlatformFile",
        )
    },
    "custom_type": Word("A word of the host's own; empty where there is none.", "trip"),
    "cover_url": Word("The channel's picture; empty where it has none.", "https://example.org/hike.png"),
    **{
        f"{schema}.nickname": Word("What somebody is called; empty where nobody said.", "Ben")
        for schema in ("Sender", "PlatformUser", "PlatformMember", "MakeUser", "ChangeUser")
    },
    "profile_url": Word("A picture; empty where there is none.", "https://example.org/ben.png"),
    "require_auth_for_profile_image": Word("Always false.", False),
    "access_token": Word("Always empty: tokens are the host's to sign.", ""),
    "session_tokens": Word("Always empty.", []),
    "discovery_keys": Word("Always empty.", []),
    "preferred_languages": Word("Always empty.", []),
    "phone_number": Word("Always empty.", ""),
    "is_active": Word("Always true: whom the host does not want any more it deletes.", True),
    "has_ever_logged_in": Word("Whether he ever had a device.", True),
    **{
        f"{schema}.last_seen_at": Word("When the last device went, in milliseconds; 0 if none was ever seen.", _MS)
        for schema in ("PlatformUser", "PlatformMember")
    },
    **{
        f"{schema}.created_at": Word("When it was made, in seconds.", _S)
        for schema in ("PlatformUser", "PlatformChannel")
    },
    "PlatformMessage.created_at": Word("When it was said, in milliseconds.", _MS),
    "PlatformMessage.updated_at": Word("When it was edited last, in milliseconds; 0 if never.", 0),
    "PlatformMember.role": Word("`operator`, or empty.", "operator"),
    "PlatformMember.state": Word("Always `joined`: nobody is asked first.", "joined"),
    "is_arriving": Word("True as long as its first import has not come to its end; else absent.", True),
    "is_muted": Word("Always false.", False),
    "muted_description": Word("Always empty.", ""),
    "PlatformChannel.created_by": Word("Who made it; null where he was deleted."),
    "member_count": Word("How many are in it.", 3),
    "joined_member_count": Word("The same.", 3),
    "members": Word("Who is in it; who came first stands first."),
    "unread_message_count": Word("Always 0: nobody asks for himself.", 0),
    "unread_mention_count": Word("Always 0.", 0),
    "max_length_message": Word("How many characters a message may have.", 4000),
    "message_survival_seconds": Word("Always -1: messages stay.", -1),
    **{
        name: Word("Always false.", False)
        for name in (
            "freeze",
            "is_public",
            "is_discoverable",
            "is_super",
            "is_broadcast",
            "is_ephemeral",
            "is_access_code_required",
            "ignore_profanity_filter",
            "is_op_msg",
            "silent",
            "is_removed",
        )
    },
    "is_distinct": Word("Always false: there is no channel of certain people, and to ask for one is refused.", False),
    "PlatformChannel.my_role": Word("Always `none`.", "none"),
    "member_state": Word("Always `none`.", "none"),
    "channels": Word("One entry for each."),
    "next": Word("The `token` of the next page; empty at the end.", ""),
    "platform.token": Word("`next` of the page before.", ""),
    "platform.limit": Word("How many at most, up to 100.", 10),
    "show_member": Word("Whether to tell who is in it.", True),
    "show_empty": Word("Whether to list channels too in which nothing was said.", True),
    "members_include_in": Word("Only channels of one of these people, separated by commas.", "user-ann,user-ben"),
    "channel_urls": Word("Only these channels, separated by commas.", "hike-on-sunday"),
    "order": Word("`chronological`, the newest first, or `latest_last_message`.", "chronological"),
    "distinct_mode": Word("`distinct` finds none.", "all"),
    "public_mode": Word("`public` finds none.", "all"),
    "super_mode": Word("`super` finds none.", "all"),
    "platform.user_ids": Word("Only these people, separated by commas.", "user-ann,user-ben"),
    "message_number": Word("The message, by its integer.", 4503601774854145),
    "platform.message_id": Word("Around this message.", 4503601774854145),
    "PlatformMessage.message_id": Word("Its integer, below 2^53.", 4503601774854145),
    "message_ts": Word("Around this time, in milliseconds.", _MS),
    "prev_limit": Word("How many before it, up to 200.", 15),
    "next_limit": Word("How many after it, up to 200.", 15),
    "include": Word("Whether to tell what is there itself.", True),
    "reverse": Word("Whether to begin with the newest.", False),
    "platform.message_type": Word("Only those of this type: MESG, FILE or ADMM.", "MESG"),
    "custom_types": Word("Only those of these, separated by commas; one that is empty stands for none.", "trip"),
    "sender_ids": Word("Only those of these people, separated by commas.", "user-ann"),
    "SayInChannel.message_type": Word("MESG, FILE (by an address), or ADMM: nobody's word.", "MESG"),
    "SayInChannel.message": Word("What is said.", "Bring the map"),
    "ChangeMessage.message": Word("What it says now.", "Bring the new map"),
    "PlatformMessage.message": Word("What it says; empty for a file without words.", "Bring the map"),
    "Refused.message": Word("For people.", '"Channel" not found.'),
    "Refused.error": Word("Always true.", True),
    "Refused.code": Word(
        "400105 a bad value, 400108 not allowed, 400201 not found, 400202 taken, 400401 the token, 500901 a failure.",
        400201,
    ),
    "PlatformMessage.type": Word("MESG, FILE or ADMM.", "MESG"),
    "channel_type": Word("Always `group`.", "group"),
    "PlatformMessage.user": Word("Who said it."),
    "PlatformMessage.file": Word("The file of a FILE; else empty."),
    "SayInChannel.url": Word(
        "Where the file lies: an upload's path, or any http(s) address.", "https://files.example.org/map.png"
    ),
    "file_name": Word("What it is called.", "map.png"),
    "file_size": Word("In bytes.", 48213),
    "file_type": Word("Its media type.", "image/png"),
    "mention_type": Word("`users`, or `channel`: everybody, up to 100.", "users"),
    "PlatformMessage.mention_type": Word("Always `users`.", "users"),
    "mentioned_user_ids": Word("Who is addressed by name; who is no member is dropped.", ["user-ben"]),
    "mentioned_users": Word("Who is addressed by name."),
    "sorted_metaarray": Word("Always empty.", []),
    "dedup_id": Word("Makes sending idempotent: the same one again is the same message.", CLIENT_ID),
    **{
        f"{schema}.metadata": Word("An object of the host's own.", {"team": "green"})
        for schema in ("Sender", "PlatformUser", "PlatformMember", "MakeUser", "ChangeUser")
    },
}
