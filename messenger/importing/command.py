"""One run of `messenger import-sendbird`: everything is checked, then brought over, and what came is told."""

import asyncio
import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import click
import orjson

from messenger import preflight
from messenger.background import on_signals
from messenger.chat_service import wording
from messenger.chat_service.errors import ChatServiceError, Unauthorized
from messenger.chat_service.platform import PlatformClient
from messenger.config import Config
from messenger.embedded import embedded_servers, grant_app_role
from messenger.errors import SetupError, StorageAway, Unavailable
from messenger.importing.files import Files
from messenger.importing.journey import Journey
from messenger.importing.pages import Pages
from messenger.importing.people import People
from messenger.importing.report import Report
from messenger.storage.folder import Folder, not_ours
from messenger.store.importing import Arrivals, Rehearsal
from messenger.store.migrate import migrate
from messenger.store.session import Store

# Nobody waits for a single answer, and files are large.
PATIENCE_S = 900.0
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be brought: from which application, by which token, and which channels of it (all where empty);
    `from_start`: what came in there later with an old time, too."""

    app_id: str
    api_token: str = field(repr=False)
    base_url: str
    channels: Sequence[str]
    is_rehearsal: bool
    from_start: bool = False

    @property
    def url(self) -> str:
        return self.base_url or wording.HOST.format(app_id=self.app_id)

    def check(self) -> None:
        """Raises SetupError, one line for each that is wrong."""
        problems = []
        if not self.app_id and not self.base_url:
            problems.append("the application is missing: give --app-id, or SENDBIRD_APP_ID")
        elif not self.base_url and not re.fullmatch(r"[A-Za-z0-9-]{1,63}", self.app_id):
            problems.append("--app-id is none: letters, digits and - of the application's id")
        if not self.api_token:
            problems.append("the API token is missing: give SENDBIRD_API_TOKEN, or --api-token")
        elif not self.api_token.isascii() or not self.api_token.isprintable():
            problems.append("the API token is none: it has characters that no header takes")
        if self.base_url and not _is_safe(self.base_url):
            problems.append("--base-url must be https:// with a host; http:// goes to this machine only")
        if problems:
            raise SetupError("\n".join(problems))


def import_sendbird(config: Config, order: Order, *, embedded: bool, as_json: bool) -> bool:
    """Bring it over and tell what came; whether that was all. Raises SetupError, EmbeddedError, Unavailable."""
    order.check()
    if not embedded:
        if not config.migrate_database_url:
            raise SetupError(
                "MESSENGER_MIGRATE_DATABASE_URL is missing: the owner's, who writes in everybody's name; or use --embedded"
            )
        asyncio.run(_require_database(config.migrate_database_url))
        return _run(config, order, as_json=as_json)
    with embedded_servers(config.data_dir, lambda line: click.echo(line, err=True)) as servers:
        asyncio.run(migrate(servers.migrate_url))
        asyncio.run(grant_app_role(servers.migrate_url))
        return _run(replace(config, migrate_database_url=servers.migrate_url), order, as_json=as_json)


def _run(config: Config, order: Order, *, as_json: bool) -> bool:
    report = Report(order.is_rehearsal)
    asyncio.run(_until_stopped(config, order, report))
    if as_json:
        click.echo(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        for line in report.lines():
            click.echo(line)
    return report.is_whole


async def _require_database(database_url: str) -> None:
    """Migrated, and reached by its owner. Raises SetupError, one line."""
    await preflight.require_owner(database_url)
    steps = await migrate(database_url, check=True)
    if steps:
        raise SetupError(f"{len(steps)} migration steps are missing: run messenger migrate")


async def _until_stopped(config: Config, order: Order, report: Report) -> None:
    """What ends it early is in the report, once something may have come over. Raises SetupError, Unavailable before that."""
    journey = asyncio.ensure_future(_travel(config, order, report))
    with on_signals(lambda: journey.cancel()):
        try:
            await journey
        except asyncio.CancelledError:
            report.ended = "it was stopped"


async def _travel(config: Config, order: Order, report: Report) -> None:
    storage = Folder(config.attachments_dir)
    if not order.is_rehearsal:
        await asyncio.to_thread(_require_daemons_user, config.attachments_dir)
        await asyncio.to_thread(storage.prepare)
    async with (
        Store.connected(config.migrate_database_url) as store,
        PlatformClient(order.url, order.api_token, patience_s=PATIENCE_S, timeout_s=TIMEOUT_S) as vendor,
    ):
        arrivals = Arrivals(store)
        if not await arrivals.may():
            raise SetupError(
                "log in as the owner himself, not as a role that may become him: MESSENGER_MIGRATE_DATABASE_URL"
            )
        await _require_vendor(vendor)
        landing = Rehearsal(store) if order.is_rehearsal else arrivals
        files = Files(
            vendor,
            storage,
            landing,
            max_bytes=config.max_attachment_bytes,
            types=config.attachment_types,
            is_rehearsal=order.is_rehearsal,
        )
        people = People(landing, report)
        pages = Pages(vendor, landing, files, people, report, longest=config.max_content_chars)
        try:
            journey = Journey(vendor, landing, people, pages, report, order.channels, from_start=order.from_start)
            await journey.travel()
        except Unavailable:
            report.ended = "PostgreSQL does not answer"
        except Unauthorized:
            report.ended = "the vendor refuses the API token"
        except (TimeoutError, ConnectionError) as error:  # those are OSErrors too, and none of a disk
            report.ended = f"a connection failed ({type(error).__name__})"
        except (StorageAway, OSError) as error:
            report.ended = f"files cannot be kept ({type(error.__cause__ or error).__name__})"


def _require_daemons_user(folder: Path) -> None:
    """What root makes nobody else can use: he brings files only where the folder is his. Blocks. Raises SetupError, one line."""
    if os.geteuid() == 0:
        found = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if found.stat().st_uid != 0:
            raise SetupError(not_ours(folder))


async def _require_vendor(vendor: PlatformClient) -> None:
    """Whether anybody answers there, to this token. Raises SetupError, one line."""
    try:
        await vendor.get(wording.users(), {"limit": "1"})
    except Unauthorized:
        raise SetupError("the vendor refuses the API token") from None
    except ChatServiceError as error:
        raise SetupError(f"the vendor does not answer as expected ({error.message})") from None


def _is_safe(url: str) -> bool:
    """Whether a token may be sent there: to a host that proves who it is, or to this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or parts.query or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
