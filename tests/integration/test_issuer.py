"""An outside issuer over HTTP: its keys are fetched by the running server; while it is down the answer is 503."""

import json
import time
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from litestar import Litestar, get

from app.assembly.authentication import open_authentication
from app.config import Settings
from app.data.database import open_database
from app.domain.errors import SettingsError
from tests.clips import HANDS
from tests.serving import scripted_service, served, serving

pytestmark = pytest.mark.anyio
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ISSUER = "https://login.example/"


@get("/jwks.json")
async def jwks() -> dict[str, Any]:
    return {"keys": [{**json.loads(RSAAlgorithm.to_jwk(KEY.public_key())), "kid": "1", "alg": "RS256"}]}


@asynccontextmanager
async def server(tmp_path, jwks_url: str):
    settings = Settings(host="0.0.0.0", jwt_jwks_url=jwks_url, jwt_issuer=ISSUER, jwt_audience="parley")
    async with (
        open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as database,
        open_authentication(settings, database, None) as authentication,
        served(
            scripted_service(authenticator=authentication.authenticator, session_tokens=authentication.session_tokens)
        ) as address,
        httpx.AsyncClient(base_url=f"http://{address}") as client,
    ):
        yield client


def bearer(**changes) -> dict[str, str]:
    claims = {"iss": ISSUER, "aud": "parley", "sub": "anna", "tenant": "default", "scope": "recordings:read"}
    token = jwt.encode({**claims, "exp": int(time.time()) + 60, **changes}, KEY, "RS256", headers={"kid": "1"})
    return {"authorization": f"Bearer {token}"}


async def test_token_of_the_issuer_opens_what_its_scopes_allow(tmp_path):
    async with (
        serving(Litestar([jwks], openapi_config=None)) as issuer,
        server(tmp_path, f"http://{issuer}/jwks.json") as http,
    ):
        answers = [
            (await http.get("/recordings", headers=bearer())).status_code,
            (await http.get("/metrics", headers=bearer())).status_code,
            (await http.get("/recordings", headers=bearer(aud="elsewhere"))).status_code,
            (await http.get("/recordings")).status_code,
        ]
        token = await http.post("/auth/session-tokens", json={"scopes": ["recordings:read"]}, headers=bearer())

    assert answers == [200, 403, 401, 401]
    assert token.status_code == 403


async def test_recording_made_with_a_token_of_the_issuer_is_of_the_person_that_it_was_issued_to(tmp_path):
    """Who holds such a token names nobody else."""
    async with (
        serving(Litestar([jwks], openapi_config=None)) as issuer,
        server(tmp_path, f"http://{issuer}/jwks.json") as http,
    ):
        headers, file = bearer(sub="auth0|17", scope="transcribe recordings:read"), HANDS.path.read_bytes()
        refused = await http.post("/recordings?person=anna", content=file, headers=headers)
        made = await http.post("/recordings", content=file, headers=headers, timeout=30)
        manifest = httpx.Response(404)
        with anyio.fail_after(20):
            while manifest.status_code == 404:
                manifest = await http.get(f"/recordings/{made.json()['id']}/manifest", headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert manifest.json()["person"] == "auth0|17"


async def test_issuer_that_is_down_is_503_and_not_401(tmp_path):
    async with server(tmp_path, "http://127.0.0.1:9/jwks.json") as http:
        answer = await http.get("/recordings", headers=bearer())
        wrong = await http.get("/recordings", headers={"authorization": "Bearer wrong"})

    assert (answer.status_code, answer.json()["code"]) == (503, "provider_down")
    assert wrong.status_code == 401


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"jwt_jwks_url": "http://login.example/jwks", "jwt_issuer": ISSUER, "jwt_audience": "parley"}, "https"),
        ({"jwt_jwks_url": "https://login.example/jwks", "jwt_issuer": ISSUER}, "PARLEY_JWT_AUDIENCE"),
        ({"jwt_jwks_url": "https://login.example/jwks", "jwt_audience": "parley"}, "PARLEY_JWT_ISSUER"),
    ],
)
async def test_issuer_that_cannot_be_trusted_is_a_settings_error(tmp_path, settings, words):
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as database:
        with pytest.raises(SettingsError, match=words):
            async with open_authentication(Settings(**settings), database, None):
                pass
