"""What `/metrics` tells: each metric with its meaning and where it is read, and the text that Prometheus scrapes.

A label's values come from a list of ours (frame types, error codes, close reasons, routes), never from what somebody sends.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import accumulate
from platform import python_version
from typing import Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from messenger.fanout.node import Census
from messenger.metrics import BUCKETS_S, Histogram, Labels, Numbers, Readings
from messenger.store.lanes import Lanes
from messenger.store.session import Store
from messenger.transport import process
from messenger.transport.context import Context
from messenger.transport.siblings import ACTIVE_CONVERSATIONS, BEGAN_AT, ONLINE_USERS

CONTENT_TYPE = CONTENT_TYPE_LATEST


@dataclass(frozen=True)
class Meter:
    """Everything of one process that counts, for one reading. `began_at`: when that process did, in seconds since 1970."""

    context: Context
    store: Store
    lanes: Lanes
    loop_delay: Histogram
    began_at: float

    @cached_property
    def census(self) -> Census:
        return self.context.node.census()

    def read(self) -> Readings:
        """What this process counts by now."""
        return {metric.name: metric.read(self) for metric in METRICS}


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric. Over the workers of a daemon it is summed; the three that are no sum see `Siblings`."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: Labels
    read: Callable[[Meter], dict[Labels, Numbers]]
    help: str


def _one(value: float) -> dict[Labels, Numbers]:
    return {(): [value]}


def _of_system(read: Callable[[], float]) -> dict[Labels, Numbers]:
    """What the operating system does not tell is left out, and the rest is told."""
    try:
        return _one(read())
    except process.UNTOLD:
        return {}


def _by(values: Mapping[str, float]) -> dict[Labels, Numbers]:
    return {(label,): [value] for label, value in values.items()}


def _by_labels(counts: Mapping[Labels, int]) -> dict[Labels, Numbers]:
    return {labels: [count] for labels, count in counts.items()}


def _connections(meter: Meter) -> dict[Labels, Numbers]:
    use = meter.store.use()
    return _by({"used": use.used, "idle": use.idle})


def _dropped(meter: Meter) -> dict[Labels, Numbers]:
    node = meter.context.node
    return _by({"refused": node.relay.refused, "failed": node.bus.failed, "unpublished": node.bus.unpublished})


# Read once: the files of a package lie on a disk.
VERSIONS = (version("messenger"), python_version())

METRICS = (
    Measured(
        "messenger_workers",
        "gauge",
        (),
        lambda meter: _one(1),
        "Processes of this daemon that answered this scrape; all other figures are over these. What another one counted until "
        "it fell, or ceased to answer, stays in the counters as it was last told.",
    ),
    Measured(
        "messenger_build_info",
        "gauge",
        ("version", "python"),
        lambda meter: {VERSIONS: [1]},
        "Processes of this daemon by the version that they run, of messenger and of Python.",
    ),
    Measured(
        "messenger_draining",
        "gauge",
        (),
        lambda meter: _one(meter.context.is_draining),
        "Processes of this daemon that were asked to stop, and send their devices away.",
    ),
    Measured(
        "messenger_connections",
        "gauge",
        (),
        lambda meter: _one(meter.context.open_sockets),
        "Open WebSockets, those too that nobody was let in by yet.",
    ),
    Measured(
        "messenger_connections_limit",
        "gauge",
        (),
        lambda meter: _one(meter.context.config.max_connections),
        "How many WebSockets there may be: MESSENGER_MAX_CONNECTIONS, or less where descriptors are too few.",
    ),
    Measured(
        "messenger_devices",
        "gauge",
        (),
        lambda meter: _one(meter.census.connections),
        "Devices that were let in and hear events.",
    ),
    Measured(
        ONLINE_USERS,
        "gauge",
        (),
        lambda meter: _one(len(meter.census.users)),
        "Users with a device on this daemon, each counted once. Who is also on another daemon is counted there too.",
    ),
    Measured(
        ACTIVE_CONVERSATIONS,
        "gauge",
        (),
        lambda meter: _one(len(meter.census.conversations)),
        "Conversations with a participant on this daemon, each counted once.",
    ),
    Measured(
        "messenger_frames_total",
        "counter",
        ("type", "result"),
        lambda meter: _by_labels(meter.context.frames),
        "Frames from clients by type (unknown: none of ours; invalid: none to be read) and result (ok, or the error code).",
    ),
    Measured(
        "messenger_unknown_type_total",
        "counter",
        (),
        lambda meter: _one(meter.context.unknown_types),
        "Frames of a type that is none of ours, answered or not.",
    ),
    Measured(
        "messenger_closes_total",
        "counter",
        ("code", "reason"),
        lambda meter: _by_labels(meter.context.closes),
        "WebSockets that ended, by the close code and reason that were sent; reason client: the other side went first "
        "(1006 without a word, other: a code of its own); silent: cut after two heartbeats.",
    ),
    Measured(
        "messenger_http_requests_total",
        "counter",
        ("method", "route", "status"),
        lambda meter: _by_labels(meter.context.requests),
        "HTTP requests that ended, by route template and status; a WebSocket is one, counted at its end. Status none: cut "
        "before an answer.",
    ),
    Measured(
        "messenger_send_to_commit_seconds",
        "histogram",
        (),
        lambda meter: {(): meter.lanes.commit_times.numbers},
        "From the moment that a new message is handed to its lane until PostgreSQL has committed it. What was never "
        "committed is not in it.",
    ),
    Measured(
        "messenger_commit_to_socket_seconds",
        "histogram",
        ("path",),
        lambda meter: {(path,): times.numbers for path, times in meter.context.node.relay.to_sockets.items()},
        "One for each event and process that has a device for it, until its frames were handed to all of these. Path local: "
        "a message since its commit, in the process that committed it. Path bus: an event since it arrived from another one; "
        "the way between the two is not in it, for their clocks differ: see messenger_bus_lag_seconds. What was read back "
        "from the database is not in it.",
    ),
    Measured(
        "messenger_bus_lag_seconds",
        "histogram",
        (),
        lambda meter: {(): meter.context.node.bus.lag.numbers},
        "From publishing to hearing oneself over Redis, on one clock, tried every five seconds. What never came is not in it.",
    ),
    Measured(
        "messenger_bus_up",
        "gauge",
        (),
        lambda meter: _one(meter.context.node.bus.is_healthy),
        "Processes of this daemon for which Redis hears and is heard; messenger_workers when all is well.",
    ),
    Measured(
        "messenger_bus_dropped_total",
        "counter",
        ("reason",),
        _dropped,
        "Envelopes of the bus that went nowhere. unpublished: ours, Redis did not take it; refused: what came in is no valid "
        "one; failed: one came in, and handing it on failed.",
    ),
    Measured(
        "messenger_feed_gaps_filled_total",
        "counter",
        (),
        lambda meter: _one(meter.context.node.repair.filled),
        "Changes that were missing in a feed and were read back from the database.",
    ),
    Measured(
        "messenger_poll_seconds",
        "histogram",
        (),
        lambda meter: {(): meter.context.node.repair.poll_times.numbers},
        "How long one look took at what the bus may have lost. One that failed is not in it.",
    ),
    Measured(
        "messenger_presence_renewals_failed_total",
        "counter",
        (),
        lambda meter: _one(meter.context.node.presence.not_renewed),
        "Leases of devices that could not be renewed in Redis in time.",
    ),
    Measured(
        "messenger_database_up",
        "gauge",
        (),
        lambda meter: _one(meter.context.node.repair.is_answered),
        "Processes of this daemon whose latest poll PostgreSQL answered; messenger_workers when all is well.",
    ),
    Measured(
        "messenger_database_connections",
        "gauge",
        ("state",),
        _connections,
        "Connections to PostgreSQL, used or idle.",
    ),
    Measured(
        "messenger_database_connections_limit",
        "gauge",
        (),
        lambda meter: _one(meter.store.use().limit),
        "How many connections to PostgreSQL there may be.",
    ),
    Measured(
        "messenger_database_waiting",
        "gauge",
        (),
        lambda meter: _one(meter.store.use().waiting),
        "Who waits for a connection to PostgreSQL.",
    ),
    Measured(
        "messenger_gate_waiting",
        "gauge",
        ("gate",),
        lambda meter: _by({"entrance": meter.context.entrance.waiting, "sync": meter.context.sync.waiting}),
        "Who waits for his turn: to come in (entrance), to catch up (sync).",
    ),
    Measured(
        "messenger_notifications_total",
        "counter",
        ("channel", "result"),
        lambda meter: _by_labels(meter.context.dispatch.notifications),
        "Attempts to tell people who are away, by channel (webhook, web_push) and result: delivered; dropped (deleted, read or "
        "not wanted any more); failed, and tried again; dead, given up. Nothing where neither is configured.",
    ),
    Measured(
        "messenger_outbox_waiting",
        "gauge",
        (),
        lambda meter: _one(meter.context.dispatch.waiting),
        "Messages and notifications that wait to be handed out, in the whole cluster: every daemon says the same, counted "
        "every 15 seconds.",
    ),
    Measured(
        "messenger_uploads_total",
        "counter",
        (),
        lambda meter: _one(meter.context.attachments.count),
        "Files that were uploaded and kept.",
    ),
    Measured(
        "messenger_uploaded_bytes_total",
        "counter",
        (),
        lambda meter: _one(meter.context.attachments.bytes),
        "Bytes of the files that were uploaded and kept, without their small pictures.",
    ),
    Measured(
        "messenger_loop_delay_seconds",
        "histogram",
        (),
        lambda meter: {(): meter.loop_delay.numbers},
        "How much later than asked for the event loop woke a task, tried ten times a second.",
    ),
    Measured(
        "process_resident_memory_bytes",
        "gauge",
        (),
        lambda meter: _of_system(process.resident_bytes),
        "Memory that the processes of this daemon hold; what workers share counts in each.",
    ),
    Measured(
        "process_cpu_seconds_total",
        "counter",
        (),
        lambda meter: _of_system(process.cpu_seconds),
        "CPU time that the processes of this daemon used, in the system too.",
    ),
    Measured(
        "process_open_fds",
        "gauge",
        (),
        lambda meter: _of_system(process.open_descriptors),
        "Files and sockets that the processes of this daemon hold open.",
    ),
    Measured(
        "process_max_fds",
        "gauge",
        (),
        lambda meter: _of_system(process.most_descriptors),
        "How many files and sockets they may hold open.",
    ),
    Measured(
        BEGAN_AT,
        "gauge",
        (),
        lambda meter: _one(meter.began_at),
        "When the latest of the processes of this daemon began, in seconds since 1970: it moves when a worker is replaced.",
    ),
)

# What never falls, as long as the daemon runs.
GROWING = frozenset(metric.name for metric in METRICS if metric.kind != "gauge")


class _Collector(Collector):
    """A registry's view of some readings."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        for metric in METRICS:
            yield _family(metric, self._readings[metric.name])


def _family(metric: Measured, by_labels: Mapping[Labels, Numbers]) -> Metric:
    name, help_, labels = metric.name, metric.help, metric.labels
    match metric.kind:
        case "histogram":
            histogram = HistogramMetricFamily(name, help_, labels=labels)
            for values, (*counts, total) in by_labels.items():
                bounds = [*map(str, BUCKETS_S), "+Inf"]
                histogram.add_metric(values, list(zip(bounds, accumulate(counts), strict=True)), total)
            return histogram
        case "counter":
            counter = CounterMetricFamily(name, help_, labels=labels)
            for values, (value,) in by_labels.items():
                counter.add_metric(values, value)
            return counter
        case "gauge":
            gauge = GaugeMetricFamily(name, help_, labels=labels)
            for values, (value,) in by_labels.items():
                gauge.add_metric(values, value)
            return gauge


def text_of(readings: Readings) -> bytes:
    """The text format of Prometheus (prometheus.io/docs/instrumenting/exposition_formats)."""
    registry = CollectorRegistry()  # of this answer: the library's own is the whole process's
    registry.register(_Collector(readings))
    return generate_latest(registry)
