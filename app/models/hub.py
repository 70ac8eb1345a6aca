"""Files from the Hugging Face hub, continued where an earlier attempt broke off."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from app.domain.errors import ModelUnavailable, SettingsError
from app.models.catalogue import Hub, ModelFile
from app.models.staging import Staging

PUBLIC_HUB = "https://huggingface.co"
_BLOCK = 1 << 18
_TIMEOUT_S = 30


def fetch_from_hub(hub: Hub, files: tuple[ModelFile, ...], staging: Staging, *, address: str = PUBLIC_HUB) -> None:
    """Put each file into the staging, checked.

    Raises:
        ModelUnavailable: the hub cannot be reached, or has something else.
        SettingsError: `address` is none.
        OSError: the disk.
    """
    if not address.startswith(("https://", "http://")):
        raise SettingsError(f"HF_ENDPOINT must be an http or https address, not {address!r}.")
    root = "/".join(part for part in (address.rstrip("/"), hub.repo, "resolve", hub.revision, hub.folder) if part)
    for file in files:
        _fetch(f"{root}/{quote(file.name)}", file, staging)


def _fetch(url: str, file: ModelFile, staging: Staging) -> None:
    found = staging.grown(file)
    while staging.grown(file) < file.size:
        before = staging.grown(file)
        try:
            _continue(url, file, staging)
        except ModelUnavailable:
            if staging.grown(file) <= before:
                raise  # else the connection was cut, but brought something: take it up again
    try:
        staging.accept(file, url)
    except ModelUnavailable:
        if not found:
            raise
        _fetch(url, file, staging)  # what was found may have been the bad half: once more, from the start


def _continue(url: str, file: ModelFile, staging: Staging) -> None:
    """Append what the server sends from the end of the part on, or all of it where the server ignores ranges."""
    start = staging.grown(file)
    request = urllib.request.Request(url, headers={"User-Agent": "parley"})  # noqa: S310 - the caller has seen the scheme
    if start:
        request.add_header("Range", f"bytes={start}-")
    with _network_faults(url):
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310 - as above
    with response:
        done = start if response.status == http.client.PARTIAL_CONTENT else 0
        with staging.growing(file, fresh=not done) as out:
            while done < file.size:
                with _network_faults(url):
                    block = response.read1(min(_BLOCK, file.size - done))
                if not block:
                    raise ModelUnavailable(f"{url} ended after {done} of {file.size} bytes")
                out.write(block)
                done += len(block)
                staging.progress(file.name, done, file.size)


@contextmanager
def _network_faults(url: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise ModelUnavailable(f"{url} answered {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelUnavailable(f"{url} cannot be reached ({reason or type(error).__name__})") from error
