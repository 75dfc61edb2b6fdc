"""The command line. What is wrong before a command can do its work is told in one line, with exit code 2."""

import asyncio
import ipaddress
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any, NoReturn, ParamSpec

import click

from messenger import logs, preflight, server
from messenger.config import Config
from messenger.delivery.vapid import new_key_pair
from messenger.domain.ids import parse_user_id
from messenger.embedded import EmbeddedError, clients_environment, embedded_servers, grant_app_role
from messenger.errors import SetupError, StorageAway, Unavailable
from messenger.listening import address_of, listen, taken_over
from messenger.service.users import EXTERNAL_ID
from messenger.store.duties import Duties
from messenger.store.migrate import migrate as migrate_database
from messenger.store.session import Store
from messenger.supervisor import Supervisor, heart_of
from messenger.transport.auth import signed
from messenger.workers import serve as serve_many

P = ParamSpec("P")


def say(line: str) -> None:
    """A line for the person at the terminal, at once even where the output is a file."""
    click.echo(line)
    sys.stdout.flush()


def fail(lines: str) -> NoReturn:
    for line in lines.splitlines():
        click.echo(f"messenger: {line}", err=True)
    sys.exit(2)


def told_in_one_line(command: Callable[P, None]) -> Callable[P, None]:
    """What stops a command ends it with exit code 2."""

    @wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> None:
        try:
            command(*args, **options)
        except (SetupError, EmbeddedError) as error:
            fail(str(error))
        except StorageAway:
            fail("the folder of uploads does not answer, or is full")
        except Unavailable:
            fail("PostgreSQL does not answer")
        except KeyboardInterrupt:
            sys.exit(0)

    return run


def read_env_file(path: Path) -> dict[str, str]:
    """`NAME=value` a line; `#` begins a comment line, quotes around a value are taken off. Raises SetupError."""
    found = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise SetupError(f"{path} cannot be read as text in UTF-8") from None
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            raise SetupError(f"{path} line {number} is no NAME=value")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name.strip()] = value
    return found


def configure(env_file: Path | None, defaults: Mapping[str, str] | None = None, **overrides: Any) -> Config:
    """The settings; the environment wins over the file and both over `defaults`, the command line over all. Raises SetupError."""
    environ = {**(defaults or {}), **(read_env_file(env_file) if env_file else {}), **os.environ}
    config, warnings = Config.from_environ(environ, **overrides)
    warn(*warnings)
    return config


def warn(*warnings: str) -> None:
    for warning in warnings:
        click.echo(f"messenger: warning: {warning}", err=True)


ENV_FILE = click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read settings from a file of NAME=value lines; the environment wins over it.",
)
WORKERS = click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Processes that share the port; each is a node.",
)
HOST = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
PORT = click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
INSECURE = click.option(
    "--insecure",
    is_flag=True,
    help="Allow authentication off on an address that is not loopback, and under any host name.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="messenger")
def main() -> None:
    """A chat daemon that a team hosts itself. Settings come from the environment: MESSENGER_… (see README)."""


@main.command()
@HOST
@PORT
@WORKERS
@click.option("--embedded", is_flag=True, help="Start a PostgreSQL and a Redis of its own, under the data folder.")
@INSECURE
@ENV_FILE
@told_in_one_line
def serve(host: str, port: int, workers: int, embedded: bool, insecure: bool, env_file: Path | None) -> None:
    """Run the daemon. Under systemd it says when it is ready (Type=notify), and listens on the sockets of a .socket unit
    instead of --host and --port."""
    config = configure(env_file)
    logs.set_up(config)
    run(
        config,
        host,
        port,
        workers,
        embedded=embedded,
        insecure=insecure,
        on_ready=lambda address: say(f"Serving on {address}"),
    )


@main.command()
@HOST
@PORT
@WORKERS
@click.option("--embedded", is_flag=True, hidden=True, help="Always so.")
@INSECURE
@ENV_FILE
@told_in_one_line
def demo(host: str, port: int, workers: int, embedded: bool, insecure: bool, env_file: Path | None) -> None:
    """Run with a database and a bus of its own, demo people, the demo client at /, open rooms, and no authentication."""
    from messenger.transport.demo import PEOPLE, WAYS

    # A demo is watched by a person: requests would bury the links. Where no token is looked at, no figures are private.
    config = configure(
        env_file, {"MESSENGER_LOG_LEVEL": "WARNING"}, auth="off", demo=True, open_rooms=True, stats_private=False
    )
    logs.set_up(config)

    def show_links(address: str) -> None:
        say(f"\nThe demo client is at {address}/ — open two of these side by side:")
        for user_id, name in PEOPLE.items():
            say(f"  {name:<10} {address}/?user={user_id}")
        say("\nOr come in otherwise:")
        for name, page in WAYS.items():
            say(f"  {name:<13} {address}/demo/{page}.html")
        say(f"\nThe API is told at {address}/docs. Authentication is off. Ctrl-C stops everything.")

    run(config, host, port, workers, embedded=True, insecure=insecure, with_demo_data=True, on_ready=show_links)


def run(
    config: Config,
    host: str,
    port: int,
    workers: int,
    *,
    embedded: bool,
    insecure: bool,
    on_ready: Callable[[str], None],
    with_demo_data: bool = False,
) -> None:
    """Start what is to be started, check it, and serve until asked to stop. Raises SetupError, EmbeddedError."""
    config = replace(config, insecure=insecure or config.insecure)
    supervisor = Supervisor.taken_from(os.environ)
    handed_over = taken_over(supervisor.sockets, workers) if supervisor.sockets else []
    hosts = [sock.getsockname()[0] for sock in supervisor.sockets] or [host]
    if config.auth == "off":
        for name in hosts:
            if not is_loopback(name) and not config.insecure:
                raise SetupError(
                    f"authentication is off and {name} is not loopback: anybody could be anybody; --insecure allows it"
                )
        warn("authentication is off: whoever reaches this daemon can be anybody")
    if "*" in config.allowed_origins:
        warn("MESSENGER_ALLOWED_ORIGINS is *: every page may connect")

    def serve_until_stopped() -> None:
        preflight.require_room(config)
        every = handed_over or listen(host, port, workers)
        address = address_of(hosts[0], every[0])

        def ready() -> None:
            on_ready(address)
            supervisor.ready(f"Serving on {address}")

        if workers > 1:
            serve_many(config, every, ready, supervisor)
        else:
            farewell = partial(supervisor.stopping, config.drain_s)
            server.serve(config, every[0], ready, on_stop=farewell, heart=heart_of(supervisor))

    with stopping_on_signals():
        if not embedded:
            preflight.require_settings(config)
            warn(*asyncio.run(preflight.require_database(config)))
            serve_until_stopped()
            return
        with embedded_servers(config.data_dir, say) as servers:
            config = replace(config, database_url=servers.database_url, redis_url=servers.redis_url)
            preflight.require_settings(config)
            steps = asyncio.run(migrate_database(servers.migrate_url))
            if steps:
                say(f"Database migrated: {', '.join(step.name for step in steps)}")
            asyncio.run(grant_app_role(servers.migrate_url))
            warn(*asyncio.run(preflight.require_database(config)))
            if with_demo_data:
                from messenger.demo_data import seed

                asyncio.run(seed(config.database_url))
            serve_until_stopped()


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Until the event loop takes signals itself, SIGTERM and SIGINT unwind, so that children are stopped. SIGINT too: a shell
    starts what it puts into the background with that one ignored."""

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@main.command()
@click.option("--check", is_flag=True, help="Only tell what is missing; exit 1 if anything is.")
@ENV_FILE
@told_in_one_line
def migrate(check: bool, env_file: Path | None) -> None:
    """Bring the database to what sql/ says, once, whoever else tries at the same time."""
    config = configure(env_file)
    if not config.migrate_database_url:
        raise SetupError("MESSENGER_MIGRATE_DATABASE_URL is missing: the owner's, who makes schema and roles")
    told: list[str] = []

    def report(line: str) -> None:
        told.append(line)
        warn(line)

    steps = asyncio.run(migrate_database(config.migrate_database_url, check=check, report=report))
    for step in steps:
        say(f"{'missing' if check else 'applied'}: {step.version:04d} {step.name}")
    if not steps:
        say("Nothing to do." if told else "Nothing to do: the database is up to date.")
    if check and steps:
        sys.exit(1)


@main.command()
@click.argument("user_id", required=False)
@click.option("--external-id", help="The user by the host application's own id, instead of USER_ID.")
@click.option("--name", help="The user's name, shown to others.")
@click.option("--ttl", default=3600, show_default=True, type=click.IntRange(min=1), help="Seconds until it expires.")
@click.option("--service", is_flag=True, help="A token of the host application, which acts for anybody.")
@ENV_FILE
@told_in_one_line
def token(
    user_id: str | None, external_id: str | None, name: str | None, ttl: int, service: bool, env_file: Path | None
) -> None:
    """Print a token for USER_ID, signed with MESSENGER_JWT_SECRET."""
    config = configure(env_file)
    if user_id is not None and external_id is not None:
        raise SetupError("USER_ID and --external-id are both given: one of them says who it is")
    if user_id is None and external_id is None and not service:
        raise SetupError("USER_ID is missing")
    number = None if user_id is None else parse_user_id(user_id)
    if user_id is not None and number is None:
        raise SetupError(f"{user_id!r} is no user id: an integer from 1 to 2^53-1")
    if external_id is not None and not EXTERNAL_ID.fullmatch(external_id):
        raise SetupError(f"{external_id!r} is no external id: 1 to 128 characters, not only digits")
    say(signed(config, number or external_id, name=name, ttl_s=ttl, is_service=service))


@main.command()
@ENV_FILE
@told_in_one_line
def doctor(env_file: Path | None) -> None:
    """Check settings, roles, row-level security, bus and clocks; exit 1 if anything is wrong."""
    findings = asyncio.run(preflight.examine(configure(env_file)))
    for finding in findings:
        say(f"{'ok   ' if finding.ok else 'WRONG'} {finding.topic}: {finding.text}")
        if not finding.ok:
            say(f"      mend: {finding.mend}")
    if not all(finding.ok for finding in findings):
        sys.exit(1)


@main.command()
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--url", help="A daemon that runs already, as http://host:port; without, one of its own is started.")
@click.option("--pid", type=int, help="That daemon's process, whose cost is told; found by its port on this machine.")
@click.option(
    "--seconds", default=5.0, show_default=True, type=click.FloatRange(0.1, 600), help="A measurement, about."
)
@click.option(
    "--most-connections", default=10_000, show_default=True, type=click.IntRange(10), help="For idle, rolling."
)
@click.option("--most-messages", default=10_000_000, show_default=True, type=click.IntRange(1000), help="For history.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@ENV_FILE
@told_in_one_line
def bench(
    scenarios: tuple[str, ...],
    url: str | None,
    pid: int | None,
    seconds: float,
    most_connections: int,
    most_messages: int,
    as_json: bool,
    env_file: Path | None,
) -> None:
    """Load a daemon and print what it costs: fanout, pairs, bulk, latency, idle, connect, storm, history; all of them
    unless some are named. A daemon that runs already needs MESSENGER_JWT_SECRET, to sign tokens for people who do not
    exist yet, and its rate limits off; what conversations are made there are deleted afterwards.

    rolling replaces the nodes of a cluster one after another, and tells what its people missed: exit 1 where that is
    anything, or where somebody was away for more than 10 s. It needs nginx. With --url it has to be named, and for
    --seconds it is you who restart what runs there, behind whatever proxy there is; the default rate limits may stay on.
    """
    from messenger.bench.command import Options
    from messenger.bench.command import bench as load

    options = Options(scenarios, seconds, most_connections, most_messages)
    try:
        with stopping_on_signals():
            load(configure(env_file), url, pid, options, as_json=as_json)
    except KeyboardInterrupt:
        sys.exit(1)  # whoever goes by it must not take this for well


@main.command("import-sendbird")
@click.option("--app-id", help="The application there; else SENDBIRD_APP_ID.")
@click.option("--api-token", help="Its API token; else SENDBIRD_API_TOKEN, where nobody sees it.")
@click.option("--base-url", default="", help="Instead of https://api-APP_ID.sendbird.com.")
@click.option("--channels", default="", help="Only these channel_urls, with commas between them; else all.")
@click.option(
    "--from-start", is_flag=True, help="Read again what came over: some may have come in there with an old time."
)
@click.option("--dry-run", is_flag=True, help="Read everything, write nothing, and say what would come over.")
@click.option("--embedded", is_flag=True, help="Into the database under the data folder, as serve --embedded has it.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@ENV_FILE
@told_in_one_line
def import_sendbird(
    app_id: str | None,
    api_token: str | None,
    base_url: str,
    channels: str,
    from_start: bool,
    dry_run: bool,
    embedded: bool,
    as_json: bool,
    env_file: Path | None,
) -> None:
    """Copy users, channels, members, messages and files over from Sendbird. It may be stopped at any moment and run again:
    it goes on where it ended, and brings what is new. Exit 1 where something did not come over; the report says what."""
    from messenger.importing.command import Order
    from messenger.importing.command import import_sendbird as bring

    environ = {**(read_env_file(env_file) if env_file else {}), **os.environ}
    config = configure(env_file, {"MESSENGER_LOG_LEVEL": "WARNING"})
    logs.set_up(config)
    order = Order(
        app_id=app_id or environ.get("SENDBIRD_APP_ID", ""),
        api_token=api_token or environ.get("SENDBIRD_API_TOKEN", ""),
        base_url=base_url,
        channels=tuple(filter(None, (url.strip() for url in channels.split(",")))),
        is_rehearsal=dry_run,
        from_start=from_start,
    )
    try:
        with stopping_on_signals():
            is_whole = bring(config, order, embedded=embedded, as_json=as_json)
    except KeyboardInterrupt:
        is_whole = False
        click.echo("messenger: stopped; run it again, and it goes on where it ended", err=True)
    if not is_whole:
        sys.exit(1)


@main.command()
def vapid() -> None:
    """Make a key pair for Web Push, as lines for the environment or a settings file."""
    private_key, public_key = new_key_pair()
    say(f"# The public key, which GET /api/v1/messenger/push-key tells browsers: {public_key}")
    say(f"MESSENGER_VAPID_PRIVATE_KEY={private_key}")
    say("# Whom push services write to where something is wrong with what this daemon sends:")
    say("MESSENGER_VAPID_SUBJECT=mailto:you@example.org")


@main.command()
@click.option("--renew", is_flag=True, help="After a restore from backup: devices start over. Seen at the next start.")
@ENV_FILE
@told_in_one_line
def epoch(renew: bool, env_file: Path | None) -> None:
    """Print the epoch, the name of this database's history."""
    config = configure(env_file)
    if renew:
        if not config.migrate_database_url:
            raise SetupError("MESSENGER_MIGRATE_DATABASE_URL is missing: only the owner renews the epoch")
        asyncio.run(preflight.require_owner(config.migrate_database_url))
        say(asyncio.run(_renew_epoch(config.migrate_database_url)))
        return
    if not config.database_url:
        raise SetupError("MESSENGER_DATABASE_URL is missing")
    asyncio.run(preflight.require_database(config))
    say(asyncio.run(_epoch(config)))


@main.command("pg-env")
@ENV_FILE
@told_in_one_line
def pg_env(env_file: Path | None) -> None:
    """Print how psql, pg_dump and pg_restore reach the database of a running serve --embedded, with the owner's password, for a
    shell: eval "$(messenger pg-env || echo false)"."""
    for name, value in clients_environment(configure(env_file).data_dir).items():
        say(f"export {name}={shlex.quote(value)}")


async def _epoch(config: Config) -> str:
    async with Store.connected(config.database_url, is_pooled=config.database_pooled) as store:
        return await Duties(store).epoch()


async def _renew_epoch(database_url: str) -> str:
    async with Store.connected(database_url) as store:
        return await Duties(store).renew_epoch()
