"""Who comes to a live session: a guest with the token that he got when he joined, a user with his own, and anybody where
authentication is off.

A guest's token is signed with the daemon's own key, so that there are guests whoever signs the users' tokens; nothing but
live sessions takes it.
"""

import time
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import UUID

import jwt
from aiohttp import web

from messenger.config import Config
from messenger.dialects.live import INVALID_PARTICIPANT_ID, PARTICIPANT_NOT_FOUND, SESSION_NOT_FOUND
from messenger.domain.ids import ConversationId
from messenger.domain.session import Attendee, LiveSession
from messenger.domain.user import Profile
from messenger.errors import NotParticipant, SessionNotFound, Unauthorized
from messenger.gate import Gate
from messenger.protocol.fields import UUID_TEXT
from messenger.service.sessions import Sessions
from messenger.service.users import Users
from messenger.transport.auth import Authenticator, Claims, Identity, bearer_of
from messenger.transport.close import Close
from messenger.transport.limits import Buckets
from messenger.transport.peer import network_of

_TYPE: Final = "guest+jwt"
_ALGORITHM: Final = "HS256"
# So many addresses may ask at once; more than may ask the database, so that nobody waits here for another.
WIDTH = 1000
TURN_S = 5.0


class Refused(Exception):
    """A socket is closed with this."""

    def __init__(self, why: Close) -> None:
        self.why = why
        super().__init__(why.reason)


@dataclass(frozen=True, slots=True)
class Pass:
    """What a guest's token says: who he is, in which session, and from when until when (seconds since 1970)."""

    public_id: UUID
    conversation_id: ConversationId
    issued_at: int
    expires_at: float


# What a token says: a guest's pass, a user's claims, or nothing at all where authentication is off. And whose it is, looked up.
Shown: TypeAlias = Pass | Claims | None
Presented: TypeAlias = Pass | Identity | None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who may come in."""

    session: LiveSession
    attendee: Attendee
    expires_at: float | None = None
    issued_at: int | None = None


class Visitors:
    def __init__(
        self, config: Config, authenticator: Authenticator, users: Users, sessions: Sessions, guest_key: bytes
    ) -> None:
        self._config = config
        self._authenticator = authenticator
        self._users = users
        self._sessions = sessions
        self._key = guest_key
        self._guesses = Buckets(config.rate_guesses)
        self._turns = Gate(WIDTH, TURN_S)

    def token(self, public_id: UUID, conversation_id: ConversationId) -> str:
        """A guest's, for this one session, as long as he may stay."""
        now = int(time.time())
        claims = {
            "sub": str(public_id),
            "session": str(conversation_id),
            "iat": now,
            "exp": now + int(self._config.guest_ttl_s),
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"typ": _TYPE})

    async def shown(self, token: str | None) -> Shown:
        """What a token says, without a look at the database; None where there is none and none is needed. Raises Unauthorized,
        Unavailable."""
        if self._authenticator.is_off:
            return None
        if not token:
            raise Unauthorized("token_missing")
        return self._pass(token) if _is_guests(token) else await self._authenticator.claims_of(token)

    async def session(self, request: web.Request, named: str, *, by_id: bool = False) -> LiveSession:
        """The session of a code, closed ones too; `by_id`: or of its id. Who guesses has to wait: raises RateLimited, before there
        is a look. Raises SessionNotFound, Unavailable."""
        guesser = network_of(request, self._config)
        # One after the other: of many guesses at once most would be answered before the first was counted. A class that comes in
        # by one address waits a moment.
        async with self._turns.passed(guesser):
            self._guesses.take(guesser)
            is_guess = False
            try:
                session = await self._sessions.named(named) if by_id or not UUID_TEXT.fullmatch(named) else None
                is_guess = session is None
            finally:
                if not is_guess:
                    self._guesses.give_back(guesser)
        if session is None:
            raise SessionNotFound
        return session

    async def at_door(self, request: web.Request, shown: Shown, code: str, participant: str) -> Visitor:
        """Who opens a socket, in the order token, session, participant. `me` stands for a user's own. Raises Refused,
        RateLimited, Unauthorized, Unavailable."""
        presented = await self.known(shown)
        try:
            session = await self.session(request, code)
        except SessionNotFound:
            raise Refused(SESSION_NOT_FOUND) from None
        if session.status == "closed":
            raise Refused(SESSION_NOT_FOUND)
        return await self.participant(session, presented, participant)

    async def known(self, shown: Shown) -> Presented:
        """Whose token that is. Raises Unauthorized where it is revoked, Unavailable."""
        if shown is None:
            return None
        if not isinstance(shown, Pass):
            return await self._authenticator.of_claims(shown)
        guest = await self._sessions.attendee(shown.conversation_id, public_id=shown.public_id)
        if guest is not None:  # else he is in no session any more
            await self._users.arrive(guest.user_id, Profile(issued_at=shown.issued_at))
        return shown

    async def participant(self, session: LiveSession, presented: Presented, named: str) -> Visitor:
        """Somebody in a session by his public id, who must be the token's. Raises Refused, Unauthorized, Unavailable."""
        if named == "me" and isinstance(presented, Identity):
            attendee = await self._sessions.attendee(session.id, user_id=presented.user_id)
        elif UUID_TEXT.fullmatch(named):
            attendee = await self._sessions.attendee(session.id, public_id=UUID(named))
        else:
            raise Refused(INVALID_PARTICIPANT_ID)
        if attendee is None:
            raise Refused(PARTICIPANT_NOT_FOUND)
        return _visitor(session, attendee, presented)

    async def presented(self, request: web.Request) -> Presented:
        """On whose behalf a request is; None where nobody says so, and authentication is off. Raises Unauthorized, Forbidden,
        UserNotFound, Unavailable."""
        token = bearer_of(request)
        if token is not None and _is_guests(token):
            return await self.known(self._pass(token))
        if self._authenticator.is_off and "X-User-Id" not in request.headers:
            return None
        return await self._authenticator.of_request(request)

    async def in_session(self, session: LiveSession, presented: Pass | Identity) -> Visitor:
        """Who that is in a session. Raises NotParticipant, Unauthorized, Unavailable."""
        if isinstance(presented, Pass):
            attendee = await self._sessions.attendee(session.id, public_id=presented.public_id)
        else:
            attendee = await self._sessions.attendee(session.id, user_id=presented.user_id)
        if attendee is None:
            raise NotParticipant("Not a participant of this session")
        return _visitor(session, attendee, presented)

    def _pass(self, token: str) -> Pass:
        """Raises Unauthorized."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                leeway=self._config.jwt_leeway_s,  # of another node's clock
                options={"require": ["exp", "iat", "sub", "session"]},
            )
            return Pass(
                UUID(claims["sub"]), ConversationId(UUID(claims["session"])), int(claims["iat"]), float(claims["exp"])
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorized("token_expired") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthorized("token_invalid") from None


def _visitor(session: LiveSession, attendee: Attendee, presented: Presented) -> Visitor:
    """Raises Unauthorized where it is not his token."""
    match presented:
        case None:
            return Visitor(session, attendee)
        case Pass(attendee.public_id, session.id, issued_at, expires_at):
            return Visitor(session, attendee, expires_at, issued_at)
        case Identity(attendee.user_id, expires_at, issued_at):
            return Visitor(session, attendee, expires_at, issued_at)
    raise Unauthorized("user_mismatch")


def _is_guests(token: str) -> bool:
    """Whether a token says that it is a guest's: whichever it says, it is checked with that key and no other."""
    try:
        return bool(jwt.get_unverified_header(token).get("typ") == _TYPE)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return False
