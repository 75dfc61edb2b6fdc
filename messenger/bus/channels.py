"""Every Redis key and channel name (protocol.md §7). Names from outside come in here and nowhere else."""

from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from messenger.domain.ids import ConversationId, UserId, parse_user_id

PRESENCE_SHARDS = 64


@dataclass(frozen=True, slots=True)
class OfUser:
    user_id: UserId


@dataclass(frozen=True, slots=True)
class OfConversation:
    conversation_id: ConversationId


@dataclass(frozen=True, slots=True)
class OfPresence:
    pass


@dataclass(frozen=True, slots=True)
class OfWhereabouts:
    pass


@dataclass(frozen=True, slots=True)
class OfProfiles:
    pass


Subject: TypeAlias = OfUser | OfConversation | OfPresence | OfWhereabouts | OfProfiles


class Channels:
    """Names under one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.presence = f"{prefix}online:status"
        self.profiles = f"{prefix}users:profiles"

    @property
    def whereabouts(self) -> "Channels":
        """The same names again, for who is in which place instead of who is online."""
        return Channels(f"{self._prefix}whereabouts:")

    def user(self, user_id: UserId) -> str:
        return f"{self._prefix}user:{user_id}"

    def conversation(self, conversation_id: ConversationId) -> str:
        return f"{self._prefix}conversation:{conversation_id}"

    def state(self, conversation_id: ConversationId) -> str:
        """Key: what a live session's presenter shows."""
        return f"{self._prefix}session:{conversation_id}:state"

    def node(self, node_id: str) -> str:
        """The node's own: its watchdog listens there to itself."""
        return f"{self._prefix}node:{node_id}"

    def node_figures(self, node_id: str) -> str:
        """Key: what the node counts, for the cluster's stats."""
        return f"{self._prefix}figures:{node_id}"

    @property
    def nodes(self) -> str:
        """Key: the set of the nodes that tell their figures."""
        return f"{self._prefix}nodes"

    @property
    def every_conversation(self) -> str:
        """Pattern, for counting."""
        return f"{self._prefix}conversation:*"

    @property
    def era(self) -> str:
        """Key: since when this Redis remembers who is online, in ms of its clock."""
        return f"{self._prefix}presence:era"

    @property
    def sweeper(self) -> str:
        """Key: the node that says people offline just now."""
        return f"{self._prefix}presence:sweeper"

    def shard(self, number: int) -> str:
        """Key: the users of one presence shard by when they expire. The tag keeps a shard's keys in one slot."""
        return f"{self._prefix}presence:{{{number}}}"

    def leases(self, user_id: UserId) -> str:
        """Key: a user's devices by when they expire."""
        return f"{self.shard_of(user_id)}:{user_id}"

    def shard_of(self, user_id: UserId) -> str:
        return self.shard(user_id % PRESENCE_SHARDS)

    def subject(self, channel: str) -> Subject | None:
        """What a channel is about; None for a name that is none of ours."""
        kind, _, name = channel.removeprefix(self._prefix).partition(":")
        match kind:
            case "user":
                user_id = parse_user_id(name)
                return None if user_id is None else OfUser(user_id)
            case "conversation":
                try:
                    return OfConversation(ConversationId(UUID(name)))
                except ValueError:
                    return None
            case "online" if name == "status":
                return OfPresence()
            case "whereabouts" if name == "online:status":
                return OfWhereabouts()
            case "users" if name == "profiles":
                return OfProfiles()
        return None
