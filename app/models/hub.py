"""Download files from the Hugging Face hub; an interrupted download is resumed where it ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import httpx
import stamina

from app.domain.errors import ModelUnavailable, SettingsError
from app.models.catalogue import Hub, ModelFile
from app.models.staging import Staging
from app.proxies import proxy_of

PUBLIC_HUB = "https://huggingface.co"
_TIMEOUT_S = 30.0
_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 5.0


def fetch_from_hub(hub: Hub, files: tuple[ModelFile, ...], staging: Staging, *, address: str = PUBLIC_HUB) -> None:
    """Put each file into the staging folder, verified.

    Raises:
        ModelUnavailable: the hub cannot be reached, or has something else.
        SettingsError: `address` is not an HTTP address, or the environment's proxy cannot be used.
        OSError: the disk.
    """
    if not address.startswith(("https://", "http://")):
        raise SettingsError(f"HF_ENDPOINT must be an http or https address, not {address!r}.")
    root = "/".join(part for part in (address.rstrip("/"), hub.repo, "resolve", hub.revision, hub.folder) if part)
    with httpx.Client(
        headers={"User-Agent": "parley", "Accept-Encoding": "identity"},
        timeout=_TIMEOUT_S,
        follow_redirects=True,
        verify=httpx.create_ssl_context(),
        proxy=proxy_of(address),
        trust_env=False,
    ) as client:
        for file in files:
            _fetch(client, f"{root}/{quote(file.name)}", file, staging)


def _fetch(client: httpx.Client, url: str, file: ModelFile, staging: Staging) -> None:
    resumed = staging.part_size(file) > 0
    if staging.part_size(file) < file.size:
        for attempt in stamina.retry_context(
            _if_grown(file, staging),
            attempts=None,
            timeout=None,
            wait_initial=_FIRST_RETRY_S,
            wait_max=_LONGEST_RETRY_S,
        ):
            with attempt:
                _download_rest(client, url, file, staging)
    try:
        staging.accept(file, url)
    except ModelUnavailable:
        if not resumed:
            raise
        _fetch(client, url, file, staging)  # the part of an earlier pull may have been damaged: once more, from 0


def _if_grown(file: ModelFile, staging: Staging) -> Callable[[Exception], bool]:
    """Retry a download for as long as each attempt adds bytes."""
    size = staging.part_size(file)

    def has_grown(error: Exception) -> bool:
        nonlocal size
        before, size = size, staging.part_size(file)
        return isinstance(error, ModelUnavailable) and size > before

    return has_grown


def _download_rest(client: httpx.Client, url: str, file: ModelFile, staging: Staging) -> None:
    """Append what follows the part; where the server ignores ranges, download the whole file."""
    start = staging.part_size(file)
    headers = {"Range": f"bytes={start}-"} if start else {}
    with _translated_errors(url), client.stream("GET", url, headers=headers) as response:
        response.raise_for_status()
        done = start if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
        with staging.open_part(file, empty=not done) as out:
            try:
                for block in response.iter_raw():
                    out.write(block[: file.size - done])
                    done = min(done + len(block), file.size)
                    staging.progress(file.name, done, file.size)
            except httpx.TransportError as error:
                raise ModelUnavailable(f"{url} ended after {done} of {file.size} bytes") from error
    if done < file.size:
        raise ModelUnavailable(f"{url} ended after {done} of {file.size} bytes")


@contextmanager
def _translated_errors(url: str) -> Iterator[None]:
    """Raises ModelUnavailable for what httpx raises."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise ModelUnavailable(f"{url} answered {error.response.status_code}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ModelUnavailable(f"{url} cannot be reached ({str(error) or type(error).__name__})") from error
