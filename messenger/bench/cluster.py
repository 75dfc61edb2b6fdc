"""Two daemons of our own behind nginx, on one database and one bus: what `rolling` restarts."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from messenger.bench.target import PATIENCE_S, Found, Node, ended, own_servers
from messenger.config import Config
from messenger.errors import SetupError

NODES = 2
NO_NGINX = "rolling needs nginx on the PATH (Debian: apt install nginx-light)"
# As deploy/nginx has it, where each line is explained; this one keeps to itself whatever it writes.
_SETTINGS = """
{user}
daemon off;
pid {folder}/pid;
error_log stderr crit;
worker_processes 1;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        ''      '';
    }}
    upstream messenger {{
        zone messenger 64k;
        least_conn;
{servers}
        keepalive 32;
    }}
    server {{
        listen 127.0.0.1:{port};
        proxy_connect_timeout 2s;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        location / {{
            proxy_pass http://messenger;
        }}
        location ~ ^/(api/v1/(messenger|chat)/)?ws/ {{
            proxy_pass http://messenger;
            proxy_read_timeout 75s;
            proxy_next_upstream error timeout http_503;
        }}
    }}
}}
"""


def program() -> str | None:
    """Where nginx is; None where it is not."""
    return shutil.which("nginx", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


@contextmanager
def own_cluster(drain_s: float, say: Callable[[str], None]) -> Iterator[Found]:
    """Everything of it ends afterwards. Raises SetupError, EmbeddedError."""
    with own_servers(say) as (folder, environ, owner_url), ExitStack() as stack:
        environ |= {
            "MESSENGER_DRAIN_S": f"{drain_s:g}",
            "MESSENGER_TRUSTED_PROXIES": "127.0.0.1",
            "MESSENGER_DATA_DIR": str(folder / "data"),
        }
        config, _ = Config.from_environ(environ)
        nodes = [stack.enter_context(ended(Node(environ))) for _ in range(NODES)]
        yield Found(config, stack.enter_context(_proxy(folder, nodes)), [], owner_url, nodes)


@contextmanager
def _proxy(folder: Path, nodes: Sequence[Node]) -> Iterator[str]:
    """A proxy before these; its address. Raises SetupError."""
    own = folder / "nginx"
    own.mkdir()
    port = _free_port()
    settings = own / "nginx.conf"
    servers = "\n".join(f"        server {it.origin.partition('//')[2]} max_fails=0;" for it in nodes)
    user = "user root;" if os.geteuid() == 0 else ""
    settings.write_text(_SETTINGS.format(user=user, folder=own, servers=servers, port=port))
    found = program()
    if found is None:
        raise SetupError(NO_NGINX)
    process = subprocess.Popen([found, "-e", "stderr", "-p", str(own), "-c", str(settings)])  # noqa: S603 - from the PATH
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until somebody listens there. Raises SetupError."""
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SetupError("nginx did not start")
