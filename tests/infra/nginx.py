"""NGINX on free loopback ports, with the configuration that is shipped."""

import re
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

import anyio
from anyio import to_thread

from tests.infra.stub.terraform import ROOT
from tests.strict import missing

TEMPLATE = ROOT / "infra" / "docker" / "nginx" / "parley.conf.template"
_MAIN = """
daemon off; master_process on; worker_processes 1; pid nginx.pid; error_log error.log warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    {user_conf}
}}
"""


@dataclass(frozen=True, slots=True)
class Front:
    http_port: int
    https_port: int
    operator_port: int
    certificate: Path
    """Whoever is to believe the server must trust this."""


def rendered(**variables: str) -> str:
    """As nginx's image fills in a template: only variables that are set."""
    return re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], TEMPLATE.read_text())


def write_configuration(
    folder: Path, upstream: str, *, idle_timeout: str = "90s", resolver: str = "127.0.0.1", largest_body: str = "544m"
) -> Front:
    """Everything NGINX needs, in one folder."""
    http_port, https_port, operator_port = free_port(), free_port(), free_port()
    script = ROOT / "infra" / "docker" / "certificate.sh"
    subprocess.run([script, "localhost", folder / "certificates"], check=True, timeout=30)
    conf = rendered(
        PARLEY_UPSTREAM=upstream,
        SERVER_NAME="localhost",
        HTTP_PORT=f"127.0.0.1:{http_port}",
        HTTPS_PORT=f"127.0.0.1:{https_port}",
        CERTIFICATES=str(folder / "certificates"),
        OPERATOR_PORT=f"127.0.0.1:{operator_port}",
        IDLE_TIMEOUT=idle_timeout,
        RESOLVER=resolver,
        LARGEST_BODY=largest_body,
    )
    (folder / "nginx.conf").write_text(_MAIN.format(user_conf=conf))
    return Front(http_port, https_port, operator_port, folder / "certificates" / "fullchain.pem")


def nginx_command(folder: Path, *words: str) -> list[str]:
    nginx = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if nginx is None:
        missing("nginx")
    return [nginx, "-p", str(folder), "-c", "nginx.conf", *words]


@asynccontextmanager
async def fronted(folder: Path, upstream: str, **options: str) -> AsyncGenerator[Front, None]:
    """NGINX in front of `upstream`, for as long as the context lasts."""
    command = nginx_command(folder)
    front = await to_thread.run_sync(lambda: write_configuration(folder, upstream, **options))
    async with await anyio.open_process(command, stdout=DEVNULL, stderr=DEVNULL) as process:
        try:
            with anyio.fail_after(10):
                while not await _accepts(front.https_port):
                    assert process.returncode is None, (folder / "error.log").read_text()
                    await anyio.sleep(0.02)
            yield front
        finally:
            process.terminate()


async def _accepts(port: int) -> bool:
    try:
        async with await anyio.connect_tcp("127.0.0.1", port):
            return True
    except OSError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]
