"""Whose address a request is logged under."""

import pytest
from aiohttp.test_utils import make_mocked_request

from messenger.config import Config
from messenger.transport.peer import address_of


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
