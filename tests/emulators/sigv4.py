"""AWS Signature Version 4, verified on the server's side."""

import hmac
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from tests.emulators.event_stream import Frame, encode_headers


@dataclass(frozen=True, slots=True)
class Signed:
    """The fields of the Authorization header."""

    access_key: str
    date: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str

    @classmethod
    def parse(cls, authorization: str) -> "Signed":
        """Raises ValueError where the header is not well-formed."""
        algorithm, _, rest = authorization.partition(" ")
        fields = dict(part.strip().split("=", 1) for part in rest.split(","))
        try:
            access_key, date, region, service, end = fields["Credential"].split("/")
            headers, signature = fields["SignedHeaders"].split(";"), fields["Signature"]
        except KeyError as missing:
            raise ValueError(f"the Authorization header lacks {missing}") from missing
        if algorithm != "AWS4-HMAC-SHA256" or end != "aws4_request" or len(bytes.fromhex(signature)) != 32:
            raise ValueError("the Authorization header is not Signature Version 4")
        return cls(access_key, date, region, service, tuple(headers), signature)

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"

    def key(self, secret: str) -> bytes:
        key = b"AWS4" + secret.encode()
        for part in self.scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key

    def matches(self, headers: dict[str, str], *, method: str, path: str, secret: str) -> bool:
        """Whether this signature is the one of a request with these headers."""
        known = {"host": headers.get(":authority", ""), **headers}
        canonical = "\n".join(
            (
                method,
                path,
                "",
                *(f"{name}:{' '.join(known.get(name, '').split())}" for name in self.headers),
                "",
                ";".join(self.headers),
                headers.get("x-amz-content-sha256", sha256(b"").hexdigest()),
            )
        )
        to_sign = "\n".join(
            ("AWS4-HMAC-SHA256", headers["x-amz-date"], self.scope, sha256(canonical.encode()).hexdigest())
        )
        return hmac.compare_digest(hmac.digest(self.key(secret), to_sign.encode(), "sha256").hex(), self.signature)


class Chain:
    """The signatures of the frames of one stream, each over the one before it."""

    def __init__(self, signed: Signed, secret: str) -> None:
        self._signed = signed
        self._key = signed.key(secret)
        self._prior = signed.signature

    def accepts(self, frame: Frame) -> bool:
        date, signature = frame.headers[":date"], frame.headers[":chunk-signature"]
        assert isinstance(date, datetime)
        assert isinstance(signature, bytes)
        to_sign = "\n".join(
            (
                "AWS4-HMAC-SHA256-PAYLOAD",
                date.strftime("%Y%m%dT%H%M%SZ"),
                self._signed.scope,
                self._prior,
                sha256(encode_headers({":date": date})).hexdigest(),
                sha256(frame.payload).hexdigest(),
            )
        )
        self._prior = signature.hex()
        return hmac.compare_digest(hmac.digest(self._key, to_sign.encode(), "sha256"), signature)
