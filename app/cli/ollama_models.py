"""Copies Ollama's models out of its folder, for a machine that cannot pull them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from app.domain.errors import ModelUnavailable
from app.models.verification import sha256_of


class _Layer(msgspec.Struct):
    digest: str


class _Manifest(msgspec.Struct):
    config: _Layer
    layers: tuple[_Layer, ...]


def copy_models(folder: Path, into: Path) -> list[str]:
    """Copy every model that a manifest names, each blob verified against its digest; return their names.

    Blobs that no manifest names are not copied. Raises ModelUnavailable.
    """
    manifests = sorted(path for path in (folder / "manifests").rglob("*") if path.is_file())
    if not manifests:
        raise ModelUnavailable(f"{folder} has no manifests: it is not Ollama's folder `models`, or Ollama has no model")
    for manifest in manifests:
        for blob in _blobs(manifest):
            _copy_blob(folder / "blobs" / blob, into / "blobs" / blob)
        copy = into / manifest.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(manifest, copy)
    return [":".join(manifest.parts[-2:]) for manifest in manifests]


def _blobs(manifest: Path) -> Iterator[str]:
    try:
        read = msgspec.json.decode(manifest.read_bytes(), type=_Manifest)
    except msgspec.MsgspecError as error:
        raise ModelUnavailable(f"{manifest} is not a manifest of Ollama: {error}") from error
    for layer in (read.config, *read.layers):
        kind, _, digest = layer.digest.partition(":")
        if kind != "sha256" or not digest.isalnum():
            raise ModelUnavailable(f"{manifest} names {layer.digest}, which is no SHA-256")
        yield f"sha256-{digest}"


def _copy_blob(blob: Path, copy: Path) -> None:
    if copy.exists():  # models share blobs
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(blob, copy)
    except FileNotFoundError as error:
        raise ModelUnavailable(f"{blob} is missing: pull that model again") from error
    if sha256_of(copy) != blob.name.removeprefix("sha256-"):
        raise ModelUnavailable(f"{blob} is damaged: remove it and pull that model again")
