"""Whose address a request is logged under."""

import pytest
from aiohttp.test_utils import make_mocked_request

from messenger.config import Config
from messenger.transport.peer import address_of, network_of


class _Transport:
    def __init__(self, address: str) -> None:
        self._address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._address, 1234) if name == "peername" else default


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("203.0.113.9", "6.6.6.6", "203.0.113.9"),
    ],
)
def test_only_a_trusted_proxy_is_believed(remote: str, forwarded: str, expected: str) -> None:
    request = make_mocked_request(
        "GET",
        "/",
        headers={"X-Forwarded-For": forwarded},
        transport=_Transport(remote),  # type: ignore[arg-type]
    )
    assert address_of(request, Config(trusted_proxies=("10.0.0.0/8",))) == expected


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
    ],
)
def test_limits_count_by_what_one_subscriber_has(remote: str, expected: str) -> None:
    request = make_mocked_request("GET", "/", transport=_Transport(remote))  # type: ignore[arg-type]
    assert network_of(request, Config()) == expected
