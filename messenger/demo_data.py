"""What `messenger demo` begins with: a few people who have talked already. Made once."""

from collections.abc import Sequence
from functools import partial

from messenger.domain.conversation import ConversationType
from messenger.domain.ids import UserId
from messenger.domain.message import Draft
from messenger.domain.user import Profile
from messenger.store.conversations import ConversationStore
from messenger.store.duties import Duties
from messenger.store.lanes import Lanes, outcome_of
from messenger.store.messages import MessageStore
from messenger.store.session import Store
from messenger.store.users import UserStore
from messenger.transport.demo import PEOPLE

ALICE, BOB, CHIARA, DAE = (UserId(user_id) for user_id in PEOPLE)

Talk = tuple[ConversationType, str | None, Sequence[UserId], Sequence[tuple[UserId, str]]]
TALKS: Sequence[Talk] = (
    (
        "group",
        "Weekend hike",
        (ALICE, BOB, CHIARA, DAE),
        (
            (ALICE, "Saturday looks dry. Who is in?"),
            (BOB, "Me! The ridge trail again, or something new?"),
            (CHIARA, "Something new, please. There is a lake two valleys over."),
            (DAE, "호수 좋아요! I can drive."),
            (ALICE, "Then it is the lake. Eight at the station?"),
        ),
    ),
    (
        "announcement",
        "House news",
        (CHIARA, ALICE, BOB, DAE),
        (
            (CHIARA, "The lift is repaired on Tuesday, from nine to eleven."),
            (CHIARA, "화요일 9시부터 11시까지 승강기를 수리해요."),
        ),
    ),
    (
        "direct",
        None,
        (ALICE, BOB),
        (
            (BOB, "Do you still have my headlamp?"),
            (ALICE, "Yes, it is in my bag. I bring it on Saturday."),
        ),
    ),
    (
        "direct",
        None,
        (CHIARA, ALICE),
        ((CHIARA, "I found the map of the lake trail, shall I print it?"),),
    ),
)


async def seed(database_url: str) -> None:
    """Make the demo's people and talks, unless they are there. Raises Unavailable."""
    async with Store.connected(database_url) as store, Lanes(store) as lanes:
        users, conversations, messages = UserStore(store), ConversationStore(store), MessageStore(store)
        for user_id, name in PEOPLE.items():
            await users.arrive(UserId(user_id), Profile(name=name), provision=True)
        if await Duties(store).standings_of(ALICE):
            return
        for type_, title, people, lines in TALKS:
            maker, *others = people
            made, _, _ = await conversations.create(maker, type_, title, {}, "all", others, provision=True)
            for sender, line in lines:
                sent = await outcome_of(partial(lanes.append, sender, Draft(made.id, line)))
                # Who answers has read what he answers.
                await messages.mark_read(sender, sent.message.id)
