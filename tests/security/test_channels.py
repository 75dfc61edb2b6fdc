"""Redis from both sides: no id of a client's becomes a command or a channel, and no message of a stranger's on the bus does more
than its channel is for. (Plain rubbish on the bus stands in integration/test_feeds.py and unit/test_envelope.py.)
"""

import json
import re
from urllib.parse import quote
from uuid import UUID

import asyncpg
import orjson
import pytest
from redis import asyncio as aioredis
from yarl import URL

from messenger.protocol import envelope
from messenger.transport import session
from tests.support.database import Servers
from tests.support.node import FREE, SECRET, Cluster, Node, logged
from tests.support.people import API, forged, token
from tests.support.proxy import of_redis, proxied

ANN, BEN, EVE = 1, 2, 3
NOBODYS = "01890000-0000-7000-8000-000000000000"
MARK = "EVIL"
HOSTILE = [
    f"1\r\nPUBLISH user:2 {MARK}\r\n", f"1\n{MARK}", f"*{MARK}", f"user:*{MARK}", f"../{MARK}", f"1:2:{MARK}", f"{MARK}\x00",
    f"1 {MARK}", f"{{1}}{MARK}", f"online:status{MARK}", f"$1\r\n*1\r\n{MARK}", f"[{MARK}]", f"?{MARK}", f"\u0661{MARK}",
]  # fmt: skip
# Every name that there may be behind the prefix.
CHANNEL = r"user:[1-9]\d*|conversation:[0-9a-f-]{36}|(whereabouts:)?online:status|users:profiles|node:n[0-9a-f]{8}"
KEY = r"figures:n[0-9a-f]{8}|nodes|(whereabouts:)?presence:(era|sweeper|\{\d+\}(:[1-9]\d*)?)"


async def test_no_id_of_a_client_becomes_a_command_or_a_channel(
    cluster: Cluster, servers: Servers, oracle: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "BAD_FRAMES", 1_000_000)
    async with proxied(of_redis(servers.redis_url)) as path:
        said: list[bytes] = []
        path.watch = said.append
        node = await cluster.node(**FREE, redis_url=path.redis_url(servers.redis_url), api_token=SECRET)
        tea = await node.client(ANN).group(BEN)
        phone = await node.phone(ANN, device=quote(f"{MARK}\r\n"))
        for id_ in HOSTILE:
            named = quote(id_, safe="")
            bearer = forged({"sub": id_, "exp": 4_000_000_000, "name": id_}, SECRET.encode())
            assert await node.knock(bearer=bearer) == (1008, "token_invalid")
            assert await node.knock(f"/ws/{named}", bearer=token(ANN, SECRET)) in ((1008, "user_mismatch"), 404)
            for frame in (
                {"type": "subscribe", "conversation_id": id_},
                {"type": "message.send", "conversation_id": id_, "content": "x"},
                {"type": "typing", "conversation_id": f"{NOBODYS}{id_}"},
                {"type": "sync", "cursors": {id_: 0}},
                {"type": "presence", "user_ids": [id_]},
                {"type": id_},
            ):
                await phone.socket.send_json({**frame, "ref": "r"})
                assert (await phone.hear(ref="r"))["type"] == "error"
            for method, where in (
                ("GET", f"/conversations/{named}"),
                ("POST", f"/messages/{named}/read"),
                ("GET", f"/presence?user_ids={named}"),
                ("DELETE", f"/conversations/{tea}/participants/{named}"),
            ):
                assert await _status(node, method, where, token(ANN, SECRET)) in (404, 422), where
            assert await _status(node, "POST", f"/users/{named}/revoke", SECRET) == 404
        # What does become somebody, by the host's own name for him, is a number by then.
        await oracle.execute("insert into messenger.users (id, external_id) values ($1, $2)", EVE, HOSTILE[0])
        assert isinstance(await node.knock(bearer=token(HOSTILE[0], SECRET)), dict)
        await phone.ask("subscribe", conversation_id=tea)
        async with aioredis.Redis.from_url(servers.redis_url, protocol=2, decode_responses=True) as redis:
            channels = {name.removeprefix(cluster.prefix) for name in await redis.pubsub_channels(f"{cluster.prefix}*")}
            keys = {name.removeprefix(cluster.prefix) async for name in redis.scan_iter(f"{cluster.prefix}*")}
            patterns = await redis.pubsub_numpat()
        assert {f"user:{ANN}", f"conversation:{tea}"} <= channels
        assert [name for name in channels if not re.fullmatch(CHANNEL, name)] == []
        assert [name for name in keys if not re.fullmatch(KEY, name)] == []
        assert patterns == 0
        sent = b"".join(said)
        assert f"conversation:{tea}".encode() in sent
        assert MARK.encode() not in sent


async def _status(node: Node, method: str, path: str, bearer: str) -> int:
    """The path goes out as it stands."""
    url, headers = URL(f"{node.origin}{API}{path}", encoded=True), {"Authorization": f"Bearer {bearer}"}
    async with node.session.request(method, url, headers=headers) as response:
        return response.status


@pytest.fixture
async def node(cluster: Cluster) -> Node:
    return await cluster.node(**FREE)


def poison(tea: str, den: str) -> dict[str, list[tuple[str, bytes]]]:
    """Channel and message, by what is wrong with it. Ben takes part in `tea`; Eve is in `den`, where he is not."""
    tea_, den_, bens, eves = f"conversation:{tea}", f"conversation:{den}", f"user:{BEN}", f"user:{EVE}"
    body = orjson.dumps(
        {"type": "message.new", "conversation_id": tea, "seq": 99, "change": 99, "data": {"content": MARK}}
    )
    personal = envelope.encode(envelope.Personal(body), "n0")
    joined = envelope.encode(envelope.Joined(UUID(tea)), "n0")
    deep = b"[" * 100_000 + b"]" * 100_000
    return {
        "on the wrong channel": [
            (tea_, personal), (den_, personal), ("online:status", personal), (tea_, joined),
            (tea_, envelope.encode(envelope.Revoked(2**40), "n0")), (bens, envelope.encode(envelope.Deleted(body), "n0")),
            (tea_, b'{"type":"app.evil"}'), ("online:status", b'{"type":"app.evil"}'),
        ],
        "no text": [
            (bens, b'[1,"personal","n0"]\n{"type":"\xff"}'), (bens, b'[1,"personal","n0"]\n{"type":"\xed\xa0\x80"}'),
            (tea_, b'[1,"deleted","n0"]\n{"\xc0\xaf"}'), (bens, b'{"type":"app.\xff"}'), (bens, b"\xff\xfe{}"),
        ],
        "deep": [
            (bens, deep), (tea_, b'[1,"change","n0",1,0,1,' + deep + b"]\n{}"), (bens, b'{"type":"app.x","x":' + deep + b"}"),
            (bens, b"[1,[" + deep + b"]]"), ("online:status", deep),
        ],
        "huge": [
            (bens, b"x" * 2_000_000), (tea_, b'[1,"change","' + b"n" * 2_000_000 + b'"]\n{}'),
            (bens, b'[1,"joined","n0","' + b"0" * 2_000_000 + b'"]'), ("online:status", b"[" * 2_000_000),
        ],
        "numbers that are none": [
            (tea_, b'[1,"change","n0",1e400,0,1,null,null]\n{}'), (bens, b'[1,"revoked","n0",1.5]'),
            (bens, b'[1,"revoked","n0","0"]'), (tea_, b'[1,"change","n0",-1,-2,1,null,null]\n{}'),
            (tea_, b'[1,"change","n0",' + b"9" * 5000 + b',0,1,null,null]\n{}'), ("online:status", b'[1,0,true]'),
        ],
        "names that are none": [
            ("user:0" + str(BEN), personal), ("user:*", personal), ("user:", personal), (f"user:{BEN} ", personal),
            ("conversation:*", personal), (f"conversation:{tea.upper()}", personal), ("conversation:../" + tea, personal),
        ],
        "to somebody who is not in it": [(eves, joined), (eves, b'[1,"joined","n0","' + NOBODYS.encode() + b'"]')],
    }  # fmt: skip


@pytest.mark.parametrize("kind", list(poison(NOBODYS, NOBODYS)))
async def test_poison_kills_no_node_and_reaches_no_stranger(
    cluster: Cluster, servers: Servers, node: Node, kind: str
) -> None:
    tea, den = await node.client(ANN).group(BEN), await node.client(EVE).group()
    ben, eve = await node.phone(BEN), await node.phone(EVE)
    for phone, place in ((ben, tea), (eve, den)):
        await phone.ask("subscribe", conversation_id=place)
    refused = node.context.node.relay.refused
    with logged() as log:
        async with aioredis.Redis.from_url(servers.redis_url, protocol=2) as redis:
            heard = 0
            for channel, data in poison(tea, den)[kind]:
                heard += await redis.publish(cluster.prefix + channel, data)
            # Behind all of it, on the same connection.
            await redis.publish(f"{cluster.prefix}user:{BEN}", b'{"type":"app.over"}')
            await redis.publish(f"{cluster.prefix}user:{EVE}", b'{"type":"app.over"}')
        await ben.hear("app.over")
        await eve.hear("app.over")
        assert await ben.unheard() == []
        assert await eve.unheard() == []
        assert node.context.node.relay.refused - refused == (0 if "not in it" in kind else heard)
        # The bus goes on, and whoever was told to be in it is not.
        sent = await node.client(ANN).send(tea, "still here")
        assert (await ben.hear("message.new"))["data"] == sent
        assert await eve.unheard() == []
        assert (await node.client(EVE).get(f"/conversations/{tea}"))[0] == 404
    assert '"exception"' not in log.getvalue()
    assert MARK not in log.getvalue()


async def test_a_hosts_own_word_reaches_the_one_it_is_for_and_no_further(cluster: Cluster, servers: Servers) -> None:
    one, two = await cluster.node(**FREE), await cluster.node(**FREE)
    phones = [await one.phone(BEN), await two.phone(BEN)]
    eve = await two.phone(EVE)
    told = {"type": "app.invoice", "text": "</script>\u2028", "user_id": EVE, "to": ["*"]}
    async with aioredis.Redis.from_url(servers.redis_url, protocol=2) as redis:
        await redis.publish(f"{cluster.prefix}user:{BEN}", json.dumps(told))
        await redis.publish(f"{cluster.prefix}user:{EVE}", b'{"type":"app.over"}')
    for phone in phones:
        assert await phone.hear("app.invoice") == told
    assert await eve.hear("app.over") == {"type": "app.over"}
    assert await eve.unheard() == []
