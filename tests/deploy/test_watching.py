"""Watching: rules, dashboard and runbook know of what the daemon tells and of nothing else, and Prometheus makes sense of it."""

import asyncio
import json
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from messenger.app import make_app
from messenger.background import end
from messenger.config import Config
from messenger.errors import MessengerError
from messenger.transport import close
from messenger.transport.close import Close
from messenger.transport.exposition import METRICS
from messenger.transport.problems import STATUS
from tests.support.breakable import BreakableRedis
from tests.support.daemon import Daemon
from tests.support.database import Database
from tests.support.node import FREE, Cluster
from tests.support.people import Phone
from tests.support.programs import needed
from tests.support.proxy import Proxy, of_postgres, proxied

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
TRIED = yaml.safe_load((DEPLOY / "prometheus" / "alerts.test.yml").read_text())["tests"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
README = (DEPLOY / "README.md").read_text()
ANN, BEN = 1, 2

EVERY_RULE = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in EVERY_RULE if "alert" in rule}
RECORDED = {rule["record"]: rule["expr"] for rule in EVERY_RULE if "record" in rule}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
KNOWN = {metric.name: metric for metric in METRICS}
# What Prometheus itself adds to any series, and the two that it makes.
ITS_OWN = {"job", "instance"}
# They tell how busy the machine is that this runs on.
BUSY = {f"Messenger{it}" for it in ("LoopLate", "CpuBusy", "SendsSlow", "BusLagging", "DatabaseWaiting", "GateWaiting")}
OF_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alertstate", "severity"}}
# Of the labels that something is asked for by their value.
VALUES = {
    ("messenger_frames_total", "type"): {"unknown", "invalid"},
    ("messenger_frames_total", "result"): {"ok", *STATUS},
    ("messenger_closes_total", "reason"): {told.reason for told in vars(close).values() if isinstance(told, Close)},
    ("messenger_http_requests_total", "status"): {"101", "200", *map(str, STATUS.values())},
    ("messenger_notifications_total", "result"): {"delivered", "dropped", "failed", "dead"},
    ("ALERTS", "alertname"): set(ALERTS),
    ("ALERTS", "alertstate"): {"pending", "firing"},
    ("up", "job"): {"messenger"},
}

# PromQL as far as it is written here: names, with what stands in braces behind them.
NAME = re.compile(r"\b(up|ALERTS|(?:messenger|process|instance:)\w*(?::\w+)*)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|on) \(([^)]*)\)")


def asked() -> Iterator[tuple[str, str]]:
    """Each expression that Prometheus is asked for, by where it stands."""
    for rule in EVERY_RULE:
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        if "target" in annotation:
            yield annotation["name"], annotation["target"]["expr"]


def labels_of(name: str) -> set[str] | None:
    """The labels of a series of this name; None where nobody tells it."""
    if name in OF_PROMETHEUS:
        return OF_PROMETHEUS[name]
    if name in RECORDED:
        grouped = GROUPED.search(RECORDED[name])
        return set(grouped[1].split(", ")) - {"le"} if grouped else set()
    histogram, _, part = name.rpartition("_")
    if part in ("bucket", "count", "sum") and histogram in KNOWN and KNOWN[histogram].kind == "histogram":
        return {*KNOWN[histogram].labels, *(["le"] if part == "bucket" else [])}
    if name in KNOWN and KNOWN[name].kind != "histogram":
        return set(KNOWN[name].labels)
    return None


@pytest.mark.parametrize(
    ("place", "expr"), [pytest.param(*pair, id=f"{n} {pair[0]}") for n, pair in enumerate(asked())]
)
def test_only_what_is_told_is_asked_for(place: str, expr: str) -> None:
    found = NAME.findall(GROUPED.sub("", expr))
    assert found
    every = set(ITS_OWN)
    for name, braces in found:
        labels = labels_of(name)
        assert labels is not None, f"{place}: nobody tells {name}"
        every |= labels
        for label, _, value in MATCHER.findall(braces):
            if value in ("$job", "$instance"):
                assert label == value[1:]
                continue
            assert label in labels | ITS_OWN, f"{place}: {name} has no {label}"
            if (name, label) == ("messenger_http_requests_total", "route"):
                values = {resource.canonical for resource in make_app(Config()).router.resources()}
            else:
                values = VALUES[name, label]
            for wanted in value.split("|"):
                assert any(re.fullmatch(wanted, known) for known in values), f"{place}: no {label} is {wanted}"
    for grouped in GROUPED.findall(expr):
        assert set(grouped.split(", ")) <= every, f"{place}: nothing has {grouped}"


def test_what_is_told_of_the_labels_is_true() -> None:
    codes = {kind.code for kind in MessengerError.__subclasses__()}
    assert {"internal", "unavailable"} <= codes | {MessengerError.code} <= {*STATUS, "unknown_type"}


def test_every_metric_is_looked_at_or_at_least_described() -> None:
    section = README.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    described = set(re.findall(r"`([a-z_]+)`", section))
    assert [name for name in KNOWN if not {name, name.removeprefix("messenger_")} & described] == []


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_is_and_where_to_read_on(name: str) -> None:
    alert = ALERTS[name]
    assert re.fullmatch(r"Messenger([A-Z][a-z]+)+", name)
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"deploy/README.md#{name.lower()}"
    section = README.partition("\n## When an alert fires\n")[2].partition("\n## ")[0]
    told = section.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
    assert re.findall(r"^\*\*(.*?)\*\*", told, re.MULTILINE) == ["It means:", "Users:", "Do:"]


def test_no_heading_is_about_an_alert_that_there_is_not() -> None:
    section = README.partition("\n## When an alert fires\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", section, re.MULTILINE) == list(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tried_where_it_fires_and_where_it_does_not(name: str) -> None:
    """In alerts.test.yml, within one scenario: before it fires, somebody is asked whether it does already."""
    said = f'alertname="{name}"'
    scenarios = [
        [any(said in sample["labels"] for sample in look["exp_samples"]) for look in test["promql_expr_test"]]
        for test in TRIED
        if "promql_expr_test" in test
    ]
    assert any(True in looks and looks[0] is False for looks in scenarios)


def test_the_dashboard_is_one_that_a_person_can_read() -> None:
    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("messenger", "Messenger")
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "job", "instance"]
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Is it well?", "Delivery", "Database", "Bus", "People", "Machine"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
        assert [target["refId"] for target in panel["targets"]] == list("ABCDE"[: len(panel["targets"])])
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, two in combinations(places, 2):
        beside = one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
        below = one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
        assert beside or below


class Prometheus:
    """A real one."""

    def __init__(self, origin: str, session: aiohttp.ClientSession) -> None:
        self._origin = origin
        self._session = session

    async def ask(self, expr: str) -> list[Any]:
        """The series that an expression gives now."""
        async with self._session.get(self._origin + "/api/v1/query", params={"query": expr}) as response:
            told = await response.json()
        assert told["status"] == "success", told
        result: list[Any] = told["data"]["result"]
        return result

    async def is_ready(self) -> bool:
        try:
            async with self._session.get(self._origin + "/-/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def firing(self) -> set[tuple[str, str]]:
        """Alerts and the nodes that they are about, but for what only tells that this machine is busy."""
        series = await self.ask('ALERTS{alertstate="firing"}')
        fires = {(one["metric"]["alertname"], one["metric"].get("instance", "")) for one in series}
        return {(alert, node) for alert, node in fires if alert not in BUSY}

    async def until(self, true: Callable[[set[tuple[str, str]]], bool]) -> set[tuple[str, str]]:
        """What fires once that is so."""
        fires: set[tuple[str, str]] = set()
        try:
            async with asyncio.timeout(40):
                while not true(fires := await self.firing()):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"what fires is {fires}") from None
        return fires


@asynccontextmanager
async def prometheus(folder: Path, targets: Iterable[str]) -> AsyncIterator[Prometheus]:
    """With our rules, and no patience: it looks every second, and what is wrong for two is wrong."""
    program = needed("prometheus", package="prometheus")
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0] |= {"static_configs": [{"targets": list(targets)}]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    rules = re.sub(r"^( +for:) \w+$", r"\1 2s", (DEPLOY / "prometheus" / "alerts.yml").read_text(), flags=re.MULTILINE)
    (folder / "alerts.yml").write_text(rules)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = folder / "log"
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"),
            *(f"--web.listen-address={address}", "--log.level=warn"),
            stdout=stderr,
            stderr=stderr,
        )
    try:
        async with aiohttp.ClientSession() as session:
            running = Prometheus(f"http://{address}", session)
            async with asyncio.timeout(40):
                while not await running.is_ready():
                    assert process.returncode is None, log.read_text()
                    await asyncio.sleep(0.05)
            yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def talk(phones: Iterable[Phone], conversation_id: str) -> None:
    """Until cancelled."""
    while True:
        for phone in phones:
            await phone.ask("message.send", conversation_id=conversation_id, content="hi")
        await asyncio.sleep(0.1)


@pytest.fixture
async def path(database: Database) -> AsyncIterator[Proxy]:
    """The way to the database."""
    async with proxied(of_postgres(database.admin_url)) as proxy:
        yield proxy


@pytest.fixture
async def daemons(redis: BreakableRedis, path: Proxy, database: Database) -> AsyncIterator[tuple[Daemon, Daemon]]:
    """One of a single process, and one of two, both with somewhere to tell of who is away."""
    settings = {
        **FREE,
        "webhook_url": "http://127.0.0.1:9/",
        "webhook_secret": "s" * 32,
        "private_targets": ("127.0.0.1",),
    }
    async with AsyncExitStack() as stack:
        cluster = Cluster(stack, path.postgres_url(database.app_url), redis.url, prefix="")
        yield await cluster.daemon(**settings), await cluster.daemon("--workers", "2", **settings, drain_s=2)


def address_of(daemon: Daemon) -> str:
    return daemon.origin.removeprefix("http://")


def of_each(name: str, *daemons: Daemon) -> set[tuple[str, str]]:
    """An alert about each of these."""
    return {(name, address_of(daemon)) for daemon in daemons}


async def is_shown(watcher: Prometheus, *, but_for: str = "nothing") -> None:
    """Wait until all panels show something, those aside in whose expressions that stands."""
    empty: list[str] = []
    try:
        async with asyncio.timeout(40):
            while empty := [panel for panel in await empty_panels(watcher) if but_for not in panel]:
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"these are empty: {empty}") from None


async def empty_panels(watcher: Prometheus) -> list[str]:
    """What of the dashboard shows nothing, by title and expression."""
    empty = []
    for panel in PANELS:
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", "5s").replace("$job", ".+").replace("$instance", ".+")
            if not await watcher.ask(expr):
                empty.append(f"{panel['title']}: {expr}")
    return empty


async def nobody_is_told(watcher: Prometheus) -> None:
    await watcher.until(lambda fires: not fires)


async def test_a_real_prometheus_shows_what_is_there_and_tells_what_is_wrong(
    daemons: tuple[Daemon, Daemon], redis: BreakableRedis, path: Proxy, tmp_path: Path
) -> None:
    one, two = daemons
    tea = await one.client(ANN).group(BEN)
    phones = [await one.phone(ANN), await two.phone(BEN)]
    async with prometheus(tmp_path, map(address_of, daemons)) as watcher:
        talking = asyncio.create_task(talk(phones, tea))
        async with one.phone_for_a_while(BEN):
            pass  # a socket that ended
        await is_shown(watcher, but_for="failed_ratio")  # nothing did
        assert await watcher.firing() == set()
        await end([talking])

        redis.kill()
        assert await watcher.until(lambda fires: len(fires) >= 2) == of_each("MessengerBusAway", one, two)
        redis.start()
        await nobody_is_told(watcher)

        path.is_refusing = True
        path.cut()
        away = of_each("MessengerDatabaseAway", one, two)
        assert await watcher.until(lambda fires: away <= fires) == away
        for daemon in daemons:
            assert (await daemon.client(ANN).get("/conversations"))[0] == 503
            assert (await (phones[0] if daemon is one else phones[1]).ask("sync", cursors={}))["code"] == "unavailable"
        failing = of_each("MessengerRequestsFailing", one, two) | of_each("MessengerFramesFailing", one, two)
        path.is_refusing = False
        await watcher.until(lambda fires: not fires & away and fires <= failing)
        await is_shown(watcher)

        for user_id in range(10, 30):  # so that it takes its time
            await two.phone(user_id)
        two.send(signal.SIGTERM)
        await two.ended()
        one.send(signal.SIGKILL)
        await one.ended()
        gone = of_each("MessengerNodeDown", one) | {("MessengerDown", "")}
        await watcher.until(lambda fires: gone <= fires)
        assert not of_each("MessengerNodeDown", two) & await watcher.firing()
