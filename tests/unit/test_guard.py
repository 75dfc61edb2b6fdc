"""Where requests may go: every way to write or wrap a private address is refused, unless the settings allow just that one."""

import ipaddress

import pytest

from messenger.delivery.guard import Guard, Refused, origin_of

STRICT = Guard(())

PRIVATE = [
    # This machine, its network, and what answers guests of a cloud.
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
    # Kept for tests, documentation, multicast, broadcast and the future.
    *("192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
    *("255.255.255.255", "192.88.99.1"),
    # The same in IPv6.
    *("::", "::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1"),
    *("2001:db8::1", "3fff::1", "2001::1", "2001:2::1", "2001:10::1", "100::1", "5f00::1", "4000::1", "64:ff9b:1::1"),
    # IPv4 inside of IPv6: mapped, compatible, NAT64, 6to4; and Teredo, whatever it carries.
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:168.63.129.16", "::ffff:0.0.0.0"),
    *(
        "::127.0.0.1",
        "::10.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::10.1.2.3",
    ),
    *("2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
]
PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1"),
    *("192.0.1.1", "198.17.255.255", "198.20.0.1", "223.255.255.255", "168.63.129.15", "168.63.129.17"),
    *("2606:4700::1111", "2a00:1450:4001::200e", "2001:4860:4860::8888", "2620:fe::fe"),
    *("::ffff:1.1.1.1", "64:ff9b::8.8.8.8", "2002:808:808::1"),
]


def is_refused(guard: Guard, address: str, *, encrypted: bool = True) -> bool:
    try:
        guard.judge(ipaddress.ip_address(address), encrypted=encrypted)
    except Refused:
        return True
    return False


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_refused(address: str) -> None:
    assert is_refused(STRICT, address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reached_in_secret_only(address: str) -> None:
    assert not is_refused(STRICT, address)
    assert is_refused(STRICT, address, encrypted=False)


@pytest.mark.parametrize(
    ("networks", "allowed", "refused"),
    [
        (["127.0.0.1"], ["127.0.0.1", "::ffff:127.0.0.1"], ["127.0.0.2", "10.0.0.1", "::1"]),
        (["10.0.0.0/8"], ["10.255.0.1", "64:ff9b::10.0.0.1"], ["11.0.0.1", "127.0.0.1", "172.16.0.1"]),
        (["10.1.2.3/8"], ["10.0.0.1"], ["192.168.0.1"]),
        (["::1", "fd00::/8"], ["::1", "fd12::1"], ["127.0.0.1", "fc00::1", "fe80::1"]),
        (["192.168.0.0/16", "169.254.169.254/32"], ["192.168.7.7", "169.254.169.254"], ["169.254.169.253"]),
    ],
)
def test_the_settings_allow_just_what_they_name(networks: list[str], allowed: list[str], refused: list[str]) -> None:
    guard = Guard(networks)
    for address in allowed:
        assert not is_refused(guard, address)
        assert not is_refused(guard, address, encrypted=False)
    for address in refused:
        assert is_refused(guard, address, encrypted=False)


def test_what_is_allowed_beside_it_changes_nothing_for_a_public_address() -> None:
    guard = Guard(["10.0.0.0/8"])
    assert not is_refused(guard, "1.1.1.1")
    assert is_refused(guard, "1.1.1.1", encrypted=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://push.example.org/v1/abc?x=y",
        "https://push.example.org:8443/",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]/",
        "https://xn--bcher-kva.example/",
        "https://metadata.google.internal/",  # what it resolves to is looked at when it is connected to
    ],
)
def test_a_url_that_nothing_can_be_said_against(url: str) -> None:
    STRICT.check(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://push.example.org/", "not encrypted"),
        ("HTTP://push.example.org/", "not encrypted"),
        ("http://1.1.1.1/", "not encrypted"),
        ("https://127.0.0.1/", "a private address"),
        ("http://127.0.0.1/", "a private address"),
        ("https://localhost/", "a private address"),
        ("https://LOCALHOST.:8443/", "a private address"),
        ("https://me.localhost/", "a private address"),
        ("https://[::1]/", "a private address"),
        ("https://[::ffff:127.0.0.1]/", "a private address"),
        ("https://[0:0:0:0:0:ffff:a9fe:a9fe]/", "a private address"),
        ("https://[64:ff9b::7f00:1]/", "a private address"),
        ("https://[fe80::1%25eth0]/", "a private address"),
        ("https://169.254.169.254/latest/meta-data/", "a private address"),
        # What inet_aton takes for 127.0.0.1 or 169.254.169.254.
        ("https://2130706433/", "a private address"),
        ("https://0x7f000001/", "a private address"),
        ("https://0x7f.1/", "a private address"),
        ("https://017700000001/", "a private address"),
        ("https://0177.0.0.1/", "a private address"),
        ("https://127.1/", "a private address"),
        ("https://0/", "a private address"),
        ("https://127.0.0.1./", "a private address"),
        ("https://0xa9.254.0xa9fe/", "a private address"),
        # Nothing that one reader takes for another host than the next one does.
        ("https://①②⑦.0.0.1/", "no URL"),
        ("https://127。0。0。1/", "no URL"),
        ("https://push.example.org\\@127.0.0.1/", "no URL"),
        ("https://push.example.org /", "no URL"),
        ("https://push.example.org/\r\nX: y", "no URL"),
        ("https://push.example.org:99999/", "no URL"),
        ("https://[::1/", "no URL"),
        ("https://ann@push.example.org/", "a name and password in it"),
        ("https://:secret@push.example.org/", "a name and password in it"),
        ("https://push.example.org@127.0.0.1/", "a name and password in it"),
        ("https:///v1", "neither https:// nor http://"),
        ("ftp://push.example.org/", "neither https:// nor http://"),
        ("file:///etc/passwd", "neither https:// nor http://"),
        ("unix:///run/postgresql/.s.PGSQL.5432", "neither https:// nor http://"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "neither https:// nor http://"),
        ("//push.example.org/", "neither https:// nor http://"),
        ("push.example.org", "neither https:// nor http://"),
        ("", "neither https:// nor http://"),
    ],
)
def test_a_url_that_is_refused_before_anybody_is_asked(url: str, told: str) -> None:
    with pytest.raises(Refused) as refused:
        STRICT.check(url)
    assert str(refused.value) == told


def test_a_url_may_lead_where_the_settings_allow_it() -> None:
    guard = Guard(["127.0.0.1", "10.0.0.0/8"])
    for url in ("http://127.0.0.1:8080/hook", "https://10.1.2.3/", "http://host.internal/hook", "http://localhost/"):
        guard.check(url)
    for url in ("http://127.0.0.2/", "https://192.168.0.1/", "http://[::1]/", "http://1.1.1.1/"):
        with pytest.raises(Refused):
            guard.check(url)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://push.example.org/v1/abc?x=y", "https://push.example.org"),
        ("https://Push.example.org:443/", "https://push.example.org"),
        ("https://push.example.org:8443/a", "https://push.example.org:8443"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin
