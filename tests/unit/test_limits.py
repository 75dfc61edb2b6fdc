"""Token buckets, by a clock that the test moves."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messenger.config import Rate
from messenger.errors import RateLimited
from messenger.transport import limits
from messenger.transport.limits import Bucket, Buckets

# A busy machine is no failure.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    with pytest.MonkeyPatch.context() as patch:
        told = Clock()
        patch.setattr(limits, "monotonic", told)
        yield told


def taken(bucket: Bucket, most: int = 100) -> int:
    """How many can be taken at once."""
    for number in range(most):
        try:
            bucket.take()
        except RateLimited:
            return number
    return most


def refusal(bucket: Bucket) -> float:
    """The seconds that a refused one is told to wait."""
    with pytest.raises(RateLimited) as refused:
        bucket.take()
    assert refused.value.retry_after_s is not None
    return refused.value.retry_after_s


def test_a_bucket_starts_full_and_is_empty_after_its_burst(clock: Clock) -> None:
    assert taken(Bucket(Rate(2, 1, 5))) == 5


def test_a_bucket_fills_at_its_rate_and_never_above_its_burst(clock: Clock) -> None:
    bucket = Bucket(Rate(2, 1, 5))
    assert taken(bucket) == 5
    clock.now += 1.5
    assert taken(bucket) == 3
    clock.now += 1_000_000
    assert taken(bucket) == 5


def test_what_is_given_back_is_there_again_and_no_more(clock: Clock) -> None:
    buckets = Buckets(Rate(1, 1, 2))
    for _ in range(5):
        buckets.take("Ann")
        buckets.give_back("Ann")
    buckets.give_back("Ann")
    buckets.take("Ann")
    buckets.take("Ann")
    with pytest.raises(RateLimited):
        buckets.take("Ann")
    buckets.take("Ben")


def test_without_a_limit_nobody_waits(clock: Clock) -> None:
    buckets = Buckets(Rate(0, 1, 0))
    for _ in range(100):
        buckets.take("Ann")


def test_halves_add_up(clock: Clock) -> None:
    bucket = Bucket(Rate(1, 1, 1))
    assert taken(bucket) == 1
    for _ in range(3):
        clock.now += 0.25
        assert taken(bucket) == 0
    clock.now += 0.25
    assert taken(bucket) == 1


def test_who_is_refused_is_told_when_to_come_again(clock: Clock) -> None:
    bucket = Bucket(Rate(1, 60, 2))
    assert taken(bucket) == 2
    assert refusal(bucket) == 60
    clock.now += 45
    assert refusal(bucket) == 15
    clock.now += 14.9996
    assert refusal(bucket) == 0.001  # up to the millisecond
    clock.now += 0.001
    assert taken(bucket) == 1


@PATIENT
@given(
    amount=st.floats(0.01, 1000),
    period_s=st.floats(0.01, 1000),
    burst=st.floats(1, 20),
    pauses=st.lists(st.floats(0, 5), max_size=5),
)
def test_who_waits_as_long_as_he_was_told_is_not_refused_again(
    amount: float, period_s: float, burst: float, pauses: list[float]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(limits, "monotonic", clock)
        bucket = Bucket(Rate(amount, period_s, burst))
        for pause in [*pauses, 0.0]:
            assert taken(bucket) < 100
            clock.now += refusal(bucket) + 1e-6  # no nearer does a float of seconds come to it
            bucket.take()
            clock.now += pause


def test_without_a_rate_nobody_is_refused(clock: Clock) -> None:
    assert taken(Bucket(Rate(0, 1, 0)), most=10_000) == 10_000


def test_each_key_has_a_bucket_of_its_own(clock: Clock) -> None:
    buckets = Buckets(Rate(1, 1, 1))
    buckets.take("ann")
    buckets.take("ben")
    for key in ("ann", "ben"):
        with pytest.raises(RateLimited):
            buckets.take(key)


def test_the_bucket_unused_longest_is_forgotten_first(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BUCKETS", 2)
    buckets = Buckets(Rate(1, 1, 1))
    buckets.take("ann")
    buckets.take("ben")
    with pytest.raises(RateLimited):
        buckets.take("ann")  # used, if in vain
    buckets.take("cyd")
    with pytest.raises(RateLimited):
        buckets.take("ann")
    buckets.take("ben")  # forgotten for Cyd's, and full again
