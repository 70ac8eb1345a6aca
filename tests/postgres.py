"""A PostgreSQL of its own for the tests: a temporary folder, a free loopback port, nobody's privileges.

Its databases sort text as people do, not by bytes, because most that are installed do.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwnam
from signal import SIGINT
from tempfile import mkdtemp
from time import monotonic, sleep
from uuid import uuid4

from tests.strict import missing


@dataclass
class PostgresServer:
    """It runs from start() to stop(); its data stays between them."""

    binaries: Path
    folder: Path
    user: str | None
    port: int
    process: subprocess.Popen[bytes] | None = None
    settings: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Without a database's name."""
        return f"postgresql+asyncpg://parley@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it answers."""
        place: list[str | Path] = ["-D", self.folder / "data", "-p", str(self.port), "-c", "listen_addresses=127.0.0.1"]
        serve: list[str | Path] = [self.binaries / "postgres", *place, "-k", self.folder, "-c", "fsync=off"]
        serve += [part for setting in self.settings for part in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(serve, user=self.user, cwd=self.folder, stdout=log, stderr=log)
        asking: list[str | Path] = [self.binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        until = monotonic() + 60
        while subprocess.run(asking, check=False).returncode:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert monotonic() < until, "PostgreSQL did not start within a minute"
            sleep(0.1)

    def restart_if_ended(self) -> None:
        """As a supervisor does. It ends by itself where it cannot write its log."""
        if self.process is not None and self.process.poll() is not None:
            self.start()

    def stop(self) -> None:
        """Every connection is cut."""
        if self.process is not None:
            self.process.send_signal(SIGINT)
            self.process.wait()
            self.process = None


@contextmanager
def postgres_server(*, log_folder: Path | None = None) -> Iterator[PostgresServer]:
    """An empty server that runs, and can be stopped and started; its write-ahead log is small and in this folder."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if not programs:
        missing("PostgreSQL")
    binaries = programs[-1].parent
    user = "postgres" if os.getuid() == 0 else None  # because it refuses to run as root
    folder = Path(mkdtemp(prefix="parley-postgres-"))
    for own in (folder, *([log_folder] if log_folder else [])):
        if user:
            os.chown(own, getpwnam(user).pw_uid, -1)
    try:
        initdb: list[str | Path] = [
            binaries / "initdb",
            "-D",
            folder / "data",
            "-U",
            "parley",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        small_log = [f"--waldir={log_folder}", "--wal-segsize=1"] if log_folder else []
        sorting = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        subprocess.run([*initdb, *sorting, *small_log], user=user, cwd=folder, check=True, capture_output=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = ("min_wal_size=2MB", "max_wal_size=4MB") if log_folder else ()
        server = PostgresServer(binaries, folder, user, port, settings=settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@contextmanager
def running_postgres() -> Iterator[str]:
    """The URL of an empty server, without a database's name."""
    with postgres_server() as server:
        yield server.url


def new_database(server: str) -> str:
    """The URL of an empty database."""
    name = f"test_{uuid4().hex}"
    port = server.rpartition(":")[2]
    command = ["createdb", "-h", "127.0.0.1", "-p", port, "-U", "parley", name]
    subprocess.run(command, check=True)
    return f"{server}/{name}"


def cut_off(database: str) -> None:
    """End every connection to it, as a restart or a firewall would."""
    server, _, name = database.rpartition("/")
    ending = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    command = ["psql", "-q", "-h", "127.0.0.1", "-p", server.rpartition(":")[2], "-U", "parley", "-c", ending]
    subprocess.run([*command, "postgres"], check=True, capture_output=True)
