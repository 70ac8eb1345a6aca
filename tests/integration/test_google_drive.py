"""Google Drive as a source of recordings, against an emulator of its API."""

import json

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa

from app.domain.errors import BlobNotFound, ClientError, ProviderBusy, ProviderDown, ProviderMisbehaved, ProviderRefused
from storage.google_drive import file_id, open_google_drive
from tests.clips import HANDS
from tests.emulators.drive import Drive, serve_drive
from tests.emulators.faulty import Fault, serve_faults

pytestmark = pytest.mark.anyio
ID = "1AbC_dEfGhIjK-lMnOp"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()).decode()


@pytest.fixture
async def drive():
    async with serve_drive(Drive(KEY.public_key(), {ID: ("hands.flac", HANDS.path.read_bytes())})) as served:
        yield served


@pytest.fixture
def account(drive, tmp_path):
    path = tmp_path / "account.json"
    path.write_text(json.dumps({"client_email": "a@b.c", "private_key": PEM, "token_uri": f"{drive.url}/token"}))
    return path


async def read_all(source, link: str) -> bytes:
    return b"".join([piece async for piece in source.read(link)])


async def test_google_drive_file_is_read_with_a_service_account(drive, account):
    """Its bytes, again and again; one token serves all requests."""
    async with open_google_drive(service_account=account, base_url=drive.url) as source:
        blobs = [await read_all(source, ID) for _ in range(2)]

    assert blobs == [HANDS.path.read_bytes()] * 2
    assert drive.tokens == 1


async def test_google_drive_file_is_read_with_an_access_token(drive):
    """Somebody's own access token will do; a wrong one is refused."""
    async with open_google_drive(token="granted", base_url=drive.url) as source:
        blob = await read_all(source, f"https://drive.google.com/file/d/{ID}/view?usp=sharing")
        assert blob == HANDS.path.read_bytes()
    async with open_google_drive(token="stale", base_url=drive.url) as source:
        with pytest.raises(ProviderRefused):
            await read_all(source, ID)


async def test_google_drive_rejects_a_wrong_signature(drive, account):
    """The assertion is signed, and the signature is checked."""
    drive.public_key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    async with open_google_drive(service_account=account, base_url=drive.url) as source:
        with pytest.raises(ProviderRefused):
            await read_all(source, ID)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, {}, BlobNotFound),
        (403, {}, ProviderRefused),
        (403, {"error": {"errors": [{"reason": "userRateLimitExceeded"}]}}, ProviderBusy),
        (429, {}, ProviderBusy),
        (500, {}, ProviderDown),
        (503, {}, ProviderDown),
    ],
)
async def test_google_drive_errors_are_translated(drive, status, body, error):
    """Quota is busy, though Drive calls it forbidden."""
    drive.status, drive.body = status, body
    async with open_google_drive(token="granted", base_url=drive.url) as source:
        with pytest.raises(error):
            await read_all(source, ID)


@pytest.mark.parametrize("fault", [Fault(), Fault(resets=True), Fault(200, cuts=True, body=b"half")])
async def test_google_drive_connection_failure_is_provider_down(fault):
    """Silence, a reset, and a file that breaks off."""
    async with serve_faults(fault) as url, open_google_drive(token="t", base_url=url, timeout_s=0.5) as source:
        with pytest.raises(ProviderDown):
            async for _ in source.read(ID):
                pass


@pytest.mark.parametrize(
    "link",
    [
        ID,
        f"https://drive.google.com/file/d/{ID}/view",
        f"https://drive.google.com/file/d/{ID}",
        f"https://drive.google.com/open?id={ID}",
        f"https://drive.google.com/uc?export=download&id={ID}",
    ],
)
def test_google_drive_link_formats(link):
    """As Drive's own buttons make them."""
    assert file_id(link) == ID


@pytest.mark.parametrize(
    "link", ["", "short", "../../etc/passwd", "https://example.com/", "https://drive.google.com/drive/my-drive"]
)
def test_google_drive_invalid_link_is_refused(link):
    """Before anything is sent."""
    with pytest.raises(ClientError, match="is no link to a file in Google Drive"):
        file_id(link)


async def test_google_drive_invalid_key_file_is_refused(tmp_path):
    """And so is having neither key nor token."""
    (tmp_path / "no.json").write_text("{}")
    for options in ({"service_account": tmp_path / "no.json"}, {"service_account": tmp_path / "none"}, {}):
        with pytest.raises(ProviderRefused):
            async with open_google_drive(**options):
                pass


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"{}", b'{"access_token": 7}', b"\xff"])
async def test_google_drive_invalid_token_response_is_provider_misbehaved(account, body):
    """A proxy's page, or a token endpoint that changed, is no traceback."""
    async with serve_faults(Fault(200, body=body)) as url:
        given = json.loads(account.read_text())
        account.write_text(json.dumps({**given, "token_uri": f"{url}/token"}))
        async with open_google_drive(service_account=account, base_url=url) as source:
            with pytest.raises(ProviderMisbehaved):
                await read_all(source, ID)
