"""Who says he is somebody else: an address is believed only where a proxy of ours wrote it.

The plain cases stand in unit/test_peer.py.
"""

import pytest

from tests.security.wire import wire_to
from tests.support.node import Cluster, logged

PROXY = "127.0.0.1"
THERE = "203.0.113.9"
# The lines that came, and who it was, for a node that trusts 127.0.0.1.
SAID: list[tuple[list[str], str]] = [
    ([f"X-Forwarded-For: {THERE}"], THERE),
    # What the client wrote stands before what the proxy wrote, on the same line or on one before it.
    ([f"X-Forwarded-For: 6.6.6.6, {THERE}"], THERE),
    (["X-Forwarded-For: 6.6.6.6", f"X-Forwarded-For: {THERE}"], THERE),
    (["x-forwarded-for: 6.6.6.6, 127.0.0.1", f"X-FORWARDED-FOR: {THERE}, 127.0.0.1"], THERE),
    ([f"X-Forwarded-For: {THERE}:4711"], THERE),
    (["X-Forwarded-For: [2001:db8::1]:4711"], "2001:db8::1"),
    (["X-Forwarded-For: 2001:DB8::1"], "2001:db8::1"),
    # What is no address is nobody's word, and what stands before it is not looked at.
    (["X-Forwarded-For: 6.6.6.6, swordfish"], PROXY),
    (["X-Forwarded-For: swordfish"], PROXY),
    (["X-Forwarded-For: 6.6.6.6, <script>"], PROXY),
    (["X-Forwarded-For: " + "9" * 5000], PROXY),
    (["X-Forwarded-For: 6.6.6.6,,, ,"], "6.6.6.6"),
    (["X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6", "True-Client-IP: 6.6.6.6"], PROXY),
    ([], PROXY),
]


@pytest.mark.parametrize("trusted", [True, False])
async def test_only_what_a_trusted_proxy_wrote_is_believed(cluster: Cluster, trusted: bool) -> None:
    node = await cluster.node(trusted_proxies=(PROXY,) if trusted else ())
    for lines, who in SAID:
        with logged() as log:
            async with wire_to(node) as wire:
                told = await wire.ask(
                    "GET /healthz HTTP/1.1\r\nHost: chat\r\n" + "".join(f"{x}\r\n" for x in lines) + "\r\n"
                )
                assert told.status == 200
        assert f'"peer": "{who if trusted else PROXY}"' in log.getvalue(), lines
        assert "swordfish" not in log.getvalue()
