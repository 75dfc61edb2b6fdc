"""What a device may ask for: frame type → schema → use case → answer. The table at the end is the router."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema

from messenger.domain.attachment import address_of
from messenger.domain.ids import UserId
from messenger.domain.message import Draft, Sent
from messenger.errors import NotParticipant, Unauthorized, Unavailable
from messenger.fanout.watches import ASKED
from messenger.protocol import commands, frames, quick, schemas
from messenger.protocol.frames import Json
from messenger.service.sync import Caught
from messenger.store.lanes import Settle
from messenger.transport.context import Context
from messenger.transport.device import Device

# So often an answer to `sync` is read anew where its reader was removed from something meanwhile.
ATTEMPTS = 5


async def subscribe(context: Context, device: Device, command: commands.OfConversation) -> Json:
    """Hear typing, other people's receipts and their presence in a conversation too."""
    conversation_id, hub = command.conversation_id, context.node.hub
    if not await context.node.repair.brought_in(conversation_id, device.user_id):
        raise NotParticipant
    # Listen before reading, and watch before asking who is online: what passes in between would vanish.
    hub.subscribe(device, hub.feeds[conversation_id])
    conversation, participants, unread_count = await context.conversations.entered(device.user_id, conversation_id)
    user_ids = [participant.user_id for participant in participants]
    hub.watch(device, conversation_id, user_ids)
    online = await context.node.attendance.online_of(device, user_ids)
    return {
        "type": "subscribed",
        "conversation_id": conversation_id,
        "conversation": frames.own_conversation(conversation),
        "participants": [
            frames.participant(participant, online=participant.user_id in online) for participant in participants
        ],
        "last_seq": conversation.last_seq,
        "last_change": conversation.last_change,
        "unread_count": unread_count,
    }


async def unsubscribe(context: Context, device: Device, command: commands.OfConversation) -> Json:
    """Hear of a conversation no more than everybody in it does: durable events."""
    feed = context.node.hub.feeds.get(command.conversation_id)
    if feed is not None:
        context.node.hub.unsubscribe(device, feed)
    return {"type": "unsubscribed", "conversation_id": command.conversation_id}


async def type_(context: Context, device: Device, command: commands.Typing) -> None:
    """Say that one types (`typing`, `typing.start`), or no more (`typing.stop`, `is_typing` false). It counts for 5 s."""
    if not await context.node.repair.brought_in(command.conversation_id, device.user_id):
        raise NotParticipant
    context.typing.note(device, device.user_id, command.conversation_id, is_typing=command.is_typing)


def send(context: Context, device: Device, command: commands.Send, told: Settle) -> None:
    """Send a message. With a `client_id` it may be sent again until it is answered, and is stored once."""
    # The one that does not wait: `told` hears what became of it, and the session answers.
    context.message_rates.take(device.user_id)
    context.messages.post(device.user_id, draft_of(command), told)


async def edit(context: Context, device: Device, command: commands.Edit) -> Json:
    """Change what a message of one's own says."""
    assert command.message_id is not None
    message = await context.messages.edit(device.user_id, command.message_id, command.content)
    return frames.ack("message.edit", message.conversation_id, message.id, message.change)


async def delete(context: Context, device: Device, command: commands.OfMessage) -> Json:
    """Delete a message: one's own, or anybody's as an admin. Its place in the log stays, as a tombstone."""
    message = await context.messages.delete(device.user_id, command.message_id)
    return frames.ack("message.delete", message.conversation_id, message.id, message.change)


async def add_reaction(context: Context, device: Device, command: commands.React) -> Json:
    """React to a message with an emoji; the same one twice counts once."""
    message = await context.messages.react(device.user_id, command.message_id, command.emoji, is_added=True)
    return frames.ack("reaction.add", message.conversation_id, message.id, message.change)


async def remove_reaction(context: Context, device: Device, command: commands.React) -> Json:
    """Take a reaction of one's own back."""
    message = await context.messages.react(device.user_id, command.message_id, command.emoji, is_added=False)
    return frames.ack("reaction.remove", message.conversation_id, message.id, message.change)


async def read(context: Context, device: Device, command: commands.OfMessage) -> Json:
    """Read everything up to and including a message. It never moves backwards."""
    return frames.read_confirmed(await context.messages.read(device.user_id, command.message_id))


async def history(context: Context, device: Device, command: commands.ReadHistory) -> Json:
    """A page of messages: the latest, those below `before_seq`, those above `after_seq`, or those between both."""
    assert command.conversation_id is not None
    messages, more = await context.messages.history(
        device.user_id, command.conversation_id, command.before_seq, command.after_seq, command.limit
    )
    return frames.history(command.conversation_id, messages, more=more)


async def sync(context: Context, device: Device, command: commands.Sync) -> Json:
    """Catch up: whatever changed above one's cursors. A conversation without a cursor begins with its newest page."""
    return {"type": "sync", **caught_up(context, await _caught_up(context, device.user_id, command))}


def caught_up(context: Context, caught: Caught) -> Json:
    return {
        "conversations": [frames.caught_up(item) for item in caught.conversations],
        "epoch": context.epoch,
        "more": caught.more,
        "removed": list(caught.removed),
    }


async def _caught_up(context: Context, user_id: UserId, command: commands.Sync) -> Caught:
    """An answer to somebody who lives here in the feeds of all that it is about: our node may not have heard yet that he came
    into one, and who left it again a moment after the answer would never be told."""
    for _ in range(ATTEMPTS):
        caught = await context.sync.catch_up(user_id, command.cursors, command.limit)
        for conversation_id in caught.mine:
            if not await context.node.repair.brought_in(conversation_id, user_id):
                break  # removed meanwhile: the next answer says so
        else:
            return caught
    raise Unavailable("Too much changed meanwhile; try again in a moment")


async def presence(context: Context, device: Device, command: commands.Presence) -> Json:
    """Who of these is here, and from now on hear when they come and go."""
    # Somebody one shares nothing with is told as offline, and is not watched.
    visible = await context.users.visible(device.user_id, command.user_ids)
    last_seen = {user.id: user.last_seen_at for user in visible}  # none of who is apart, and he is watched as offline
    # Watch before asking who is online: a transition in between would vanish.
    context.node.hub.watches.watch(device, ASKED, last_seen)
    online = await context.node.attendance.online_of(device, last_seen)
    return {
        "type": "presence",
        "users": await presence_of(context, device.user_id, command.user_ids, last_seen, online),
    }


async def presence_of(
    context: Context,
    actor: UserId | None,
    wanted: Iterable[UserId],
    last_seen: Mapping[UserId, datetime | None],
    online: set[UserId],
) -> list[Json]:
    """Who of these is online, and with how many devices the actor is; who is not in `last_seen` may not be seen."""
    users: list[Json] = [
        {"user_id": user_id, "online": user_id in online, "last_seen_at": last_seen.get(user_id)} for user_id in wanted
    ]
    for told in users:
        if actor is not None and told["user_id"] == actor:
            told["devices"] = await context.node.presence.devices_of(actor)
    return users


async def refresh(context: Context, device: Device, command: commands.Refresh) -> Json:
    """Bring a new token of the same user before the old one ends."""
    if context.authenticator.is_off:
        return {"type": "auth.refreshed", "expires_at": None}
    identity = await context.authenticator.of_token(command.token)
    if identity.user_id != device.user_id or identity.expires_at is None:
        raise Unauthorized("user_mismatch")
    device.expires_at, device.issued_at, device.warned = identity.expires_at, identity.issued_at, False
    return {"type": "auth.refreshed", "expires_at": datetime.fromtimestamp(identity.expires_at, UTC)}


async def ping(_: Context, __: Device, ___: commands.Ping) -> Json:
    """Whether the daemon is there."""
    return {"type": "pong", "timestamp": frames.now()}


def draft_of(command: commands.Send) -> Draft:
    """The message that a frame or body asks for; an upload by its own address, though it was named by one that expires."""
    assert command.conversation_id is not None
    return Draft(
        conversation_id=command.conversation_id,
        content=command.content,
        message_type=command.message_type,
        client_id=command.client_id,
        reply_to=command.reply_to,
        mentions=command.mentions,
        attachments=tuple({**item, "url": address_of(item["url"])} for item in command.attachments),
        metadata=command.metadata,
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the router; the use case returns its direct answer, of the type that is named (`protocol.events`), or nothing.
    `quick` decodes what is plain, and nothing else. The use case's docstring is what /asyncapi.json says of it.

    One that `posts` does not wait: it hands a message over with who is to hear what became of it, and `sent` is the answer."""

    schema: Schema
    use_case: Callable[..., Awaitable[Json | None] | None]
    answer: str | None
    quick: Callable[[Mapping[str, Any]], Any] | None = None
    posts: bool = False
    sent: Callable[[Sent], Json | None] = frames.sent

    def decode(self, frame: Mapping[str, Any]) -> Any:
        """The command in a frame. Raises InvalidFrame, InvalidConversationId, InvalidMessageId."""
        command = None if self.quick is None else self.quick(frame)
        return schemas.load(self.schema, frame) if command is None else command


COMMANDS: Mapping[str, Entry] = {
    "subscribe": Entry(schemas.OfConversation(), subscribe, "subscribed"),
    "unsubscribe": Entry(schemas.OfConversation(), unsubscribe, "unsubscribed"),
    "typing": Entry(schemas.Typing(), type_, None, quick.typing),
    "typing.start": Entry(schemas.TypingStart(), type_, None),
    "typing.stop": Entry(schemas.TypingStop(), type_, None),
    "message.send": Entry(schemas.Send(), send, "message.sent", quick.send, posts=True),
    "message.edit": Entry(schemas.Edit(), edit, "ack"),
    "message.delete": Entry(schemas.OfMessage(), delete, "ack"),
    "reaction.add": Entry(schemas.React(), add_reaction, "ack"),
    "reaction.remove": Entry(schemas.React(), remove_reaction, "ack"),
    "message.read": Entry(schemas.OfMessage(), read, "read.confirmed", quick.of_message),
    "history": Entry(schemas.ReadHistory(), history, "history"),
    "sync": Entry(schemas.Sync(), sync, "sync"),
    "presence": Entry(schemas.Presence(), presence, "presence"),
    "auth.refresh": Entry(schemas.Refresh(), refresh, "auth.refreshed"),
    "ping": Entry(schemas.Ping(), ping, "pong"),
}
