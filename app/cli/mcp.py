"""`parley mcp`: a running server as tools of an agent, by the Model Context Protocol."""

from importlib.metadata import version
from pathlib import Path
from typing import Literal

import click
import uvicorn

from app.cli.server_address import url_option
from app.domain.errors import SettingsError
from app.web.listener import bound_socket, http_url

STOP_WITHIN_S = 5
"""After the first signal; calls that run longer are cut off."""


@click.command()
@url_option(purpose="The running server whose recordings, conversations and engines the tools use.")
@click.option("--key", envvar="PARLEY_KEY", show_envvar=True, help="An API key, for the transport stdio.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder whose files may be transcribed. Without it there is no tool for files.",
)
@click.option("--transport", type=click.Choice(["stdio", "http"]), default="stdio", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on, for http.")
@click.option("--port", type=int, default=8765, show_default=True, help="Port to listen on, for http.")
def mcp(
    url: str, key: str | None, folder: Path | None, transport: Literal["stdio", "http"], host: str, port: int
) -> None:
    """Offer a running server's transcription, recordings, conversations and voice to an agent (MCP).

    Over http (at /mcp) every client sends its own API key as a bearer token, and reaches what that key reaches.
    """
    try:
        from app.cli.mcp_tools import ParleyTools  # noqa: PLC0415 because it needs an extra
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("mcp"):
            raise
        raise SettingsError('the Model Context Protocol needs an extra: pip install "parley-voice[mcp]"') from error
    tools = ParleyTools(url, key if transport == "stdio" else None, folder)
    server = tools.server(version("parley-voice"))
    if transport == "stdio":
        server.run("stdio")
        return
    with bound_socket(host, port) as listening:
        click.echo(f"Parley MCP at {http_url(host, listening)}/mcp", err=True)
        app = server.streamable_http_app(host=host)
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=STOP_WITHIN_S)
        uvicorn.Server(config).run([listening])
