"""The host application's server, as it speaks to the Platform API; its answers are held against the documents."""

import itertools
from typing import Any

from tests.support.people import Frame
from tests.support.reachable import Reachable

API_TOKEN = "the-host-applications-own-key-of-32-bytes"
NOT_FOUND, TAKEN, BAD_VALUE, NOT_ALLOWED, BAD_TOKEN = 400201, 400202, 400105, 400108, 400401
_NUMBERS = itertools.count(1)


class Host:
    def __init__(self, node: Reachable, api_token: str = API_TOKEN) -> None:
        self._nobody = node.nobody()
        self._headers = {"Api-Token": api_token}

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        """Status and body."""
        answer = await self._nobody.ask(method, f"//v3{path}", json=body, params=query, headers=self._headers)
        return answer.status, answer.body

    async def get(self, path: str, **query: Any) -> Any:
        return _taken(*await self.call("GET", path, **query))

    async def post(self, path: str, **body: Any) -> Any:
        return _taken(*await self.call("POST", path, body))

    async def put(self, path: str, **body: Any) -> Any:
        return _taken(*await self.call("PUT", path, body))

    async def delete(self, path: str) -> Any:
        return _taken(*await self.call("DELETE", path))

    async def refused(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, str]:
        """The code and the words of a refusal."""
        status, told = await self.call(method, path, body, **query)
        assert (status, told.keys(), told["error"]) == (400, {"error", "code", "message"}, True), told
        return told["code"], told["message"]

    async def channel(self, *names: str, **more: Any) -> str:
        """Make a channel of these people; its name."""
        made = await self.post("/group_channels", user_ids=list(names), channel_url=fresh("hike"), **more)
        return str(made["channel_url"])

    async def say(self, url: str, named: str, message: str, **more: Any) -> Frame:
        told = await self.post(
            f"/group_channels/{url}/messages", message_type="MESG", user_id=named, message=message, **more
        )
        return dict(told)

    async def said(self, url: str, **query: Any) -> list[Frame]:
        """What was said up to now, the oldest first; or as `query` asks."""
        asked = query or {"message_ts": 2**52, "prev_limit": 200, "next_limit": 0}
        return list((await self.get(f"/group_channels/{url}/messages", **asked))["messages"])

    async def members(self, url: str) -> dict[str, str]:
        """Who is in it, with their roles."""
        told = await self.get(f"/group_channels/{url}/members", limit=100)
        return {member["user_id"]: member["role"] for member in told["members"]}

    async def me(self, named: str) -> int:
        """The daemon's own id of somebody."""
        answer = await self._nobody.ask(
            "PUT", f"/users/{named}", json={}, headers={"Authorization": f"Bearer {self._headers['Api-Token']}"}
        )
        return int(answer.body["id"])


def fresh(word: str) -> str:
    """A name that no test before had."""
    return f"{word}-{next(_NUMBERS)}"


def _taken(status: int, told: Any) -> Any:
    assert status == 200, told
    return told


class A:
    """Equal to every value of a type: for what a test cannot know beforehand."""

    def __init__(self, type_: type, least: float = 1) -> None:
        self._type = type_
        self._least = least

    def __eq__(self, other: object) -> bool:
        return type(other) is self._type and (not isinstance(other, int) or other >= self._least)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"<a {self._type.__name__} of {self._least} at least>"


# Of 2020 at least; what is in the other unit is out of it.
MILLISECONDS, SECONDS = A(int, 1_577_836_800_000), A(int, 1_577_836_800)


def sender(named: str, nickname: str = "", profile_url: str = "", **metadata: Any) -> Frame:
    return {
        "user_id": named,
        "nickname": nickname,
        "profile_url": profile_url,
        "metadata": metadata,
        "require_auth_for_profile_image": False,
    }


def member(named: str, *, operator: bool = False, **more: Any) -> Frame:
    return {
        **sender(named),
        "is_active": True,
        "is_online": False,
        "last_seen_at": 0,
        "role": "operator" if operator else "",
        "state": "joined",
        "is_muted": False,
        "muted_description": "",
        **more,
    }


def channel(url: str, maker: str, count: int, **more: Any) -> Frame:
    """A channel object, fresh and empty."""
    return {
        "channel_url": url, "name": "", "cover_url": "", "custom_type": "", "data": "", "created_at": SECONDS,
        "created_by": sender(maker), "member_count": count, "joined_member_count": count, "last_message": None,
        "unread_message_count": 0, "unread_mention_count": 0, "max_length_message": 4000,
        "message_survival_seconds": -1, "my_role": "none", "member_state": "none", "freeze": False,
        "is_distinct": False, "is_public": False, "is_discoverable": False, "is_super": False, "is_broadcast": False,
        "is_ephemeral": False, "is_access_code_required": False, "ignore_profanity_filter": False, "is_muted": False,
        **more,
    }  # fmt: skip


def message(url: str, named: str | None, text: str, **more: Any) -> Frame:
    """A message object of MESG; of ADMM where nobody said it."""
    told = {
        "message_id": A(int, 2**52), "type": "MESG" if named else "ADMM", "channel_url": url, "channel_type": "group",
        "message": text, "custom_type": "", "data": "", "file": {}, "mention_type": "users", "mentioned_users": [],
        "created_at": MILLISECONDS, "updated_at": 0, "is_removed": False, "is_op_msg": False, "silent": False,
        "sorted_metaarray": [], "message_survival_seconds": -1,
    }  # fmt: skip
    return told | ({"user": sender(named)} if named else {}) | more
