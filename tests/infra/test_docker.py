"""Images, compose files, scripts and NGINX's configuration, read by the tools that know them."""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest
from click.testing import CliRunner
from sqlalchemy import make_url

from app.cli import parley
from app.cli.bundle import FILES, checksums, images_of, without
from app.cli.embedded_metrics import embedded_metrics
from app.web.listener import DRAIN_SECONDS, TURN_SECONDS
from tests.infra.nginx import rendered
from tests.infra.shipped import DOCKER, JETSON, compose, tool
from tests.infra.stub.terraform import ROOT
from tests.models import MODELS_DIR, model
from tests.strict import missing

SERVE = (ROOT / "requirements" / "serve.txt").read_text()


def run(*words, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("folder", [DOCKER, JETSON], ids=["docker", "jetson"])
def test_hadolint_passes_on_dockerfiles(folder):
    """hadolint finds nothing to say."""
    done = run(tool("hadolint"), folder / "Dockerfile")

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("script", [*DOCKER.glob("*.sh"), *JETSON.glob("*.sh")], ids=lambda path: path.name)
def test_shellcheck_passes_on_scripts(script):
    """shellcheck neither."""
    done = run(tool("shellcheck"), script)

    assert (done.returncode, done.stdout) == (0, "")
    assert os.access(script, os.X_OK)


def test_gixy_passes_on_nginx_configuration(tmp_path):
    """gixy knows the classic mistakes, and finds none but the Host that sockets need as it was sent."""
    places = {"HTTP_PORT": "8080", "HTTPS_PORT": "8443", "OPERATOR_PORT": "8444", "CERTIFICATES": "/c"}
    places |= {"RESOLVER": "127.0.0.11", "LARGEST_BODY": "544m", "IDLE_TIMEOUT": "90s"}
    conf = rendered(PARLEY_UPSTREAM="gateway:8000", SERVER_NAME="voice.example.org", **places)
    (tmp_path / "nginx.conf").write_text(f"events {{}}\nhttp {{\n{conf}\n}}\n")

    done = run(tool("gixy"), "-f", "json", tmp_path / "nginx.conf")

    found = {each["plugin"] for each in json.loads(done.stdout)}
    assert found <= {"host_spoofing"}


def test_jetson_builds_the_pinned_ctranslate2():
    """The image builds the version that was tested."""
    built = re.search(r"^ARG CTRANSLATE2=(\S+)$", (JETSON / "Dockerfile").read_text(), re.MULTILINE)[1]

    assert f"\nctranslate2=={built} " in SERVE


@pytest.mark.parametrize("names", [(), ("cyllama",), ("cyllama", "ctranslate2")])
def test_image_and_bundle_exclude_the_same_packages(names):
    """The image's awk and the bundle's Python leave the same lines."""
    done = run(
        "awk",
        "-v",
        f"without={' '.join(names)}",
        "-f",
        DOCKER / "without.awk",
        DOCKER.parents[1] / "requirements/serve.txt",
    )

    assert done.stdout.strip() == without(SERVE, names).strip()
    kept, all_of_them = (set(re.findall(r"^([\w-]+)==", text, re.MULTILINE)) for text in (done.stdout, SERVE))
    assert all_of_them - kept == set(names)


def test_embedded_metrics_are_one_line_of_json():
    """How full, in numbers and in percent."""
    assert json.loads(embedded_metrics(3, 16, 2.5)) == {
        "event": "vitals",
        "sessions": 3,
        "maxSessions": 16,
        "occupancy": 18.8,
        "spoolAge": 2.5,
    }


# -- The bundle -------------------------------------------------------------------------------------

DOCKER_THAT_WRITES_DOWN = """#!/bin/sh
echo "$*" >> "$DOCKER_LOG"
case $1 in
  save) echo image > "$3" ;;
esac
"""


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A docker that does what it must and writes down what it was told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(DOCKER_THAT_WRITES_DOWN)
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_LOG", str(tmp_path / "docker.log"))
    return tmp_path / "docker.log"


@pytest.fixture
def bundle(tmp_path, docker):
    """A bundle with one model and images, without wheels."""
    voice = "piper-en_US-joe-medium"
    model(voice)
    folder = tmp_path / "bundle"
    done = CliRunner().invoke(
        parley, ["bundle", str(folder), "--model", voice, "--models-dir", str(MODELS_DIR), "--no-wheels"]
    )
    assert done.exit_code == 0, done.output
    return folder


def test_bundle_lists_every_file_in_its_checksums(bundle, docker):
    """Files, model, images and checksums of all; ARM images are asked for."""
    listed = {line.split("  ./")[1] for line in (bundle / "SHA256SUMS").read_text().splitlines()}
    images = images_of((JETSON / "compose.yaml").read_text())

    assert set(FILES.values()) <= listed
    assert "models/piper-en_US-joe-medium/en_US-joe-medium.onnx" in listed
    assert [line.split()[0] for line in (bundle / "images.txt").read_text().splitlines()] == list(images)
    assert "pull --quiet --platform linux/arm64 ollama/ollama" in docker.read_text()
    assert run(bundle / "install.sh", "--check").returncode == 0


@pytest.mark.parametrize("harm", ["changed", "missing", "foreign", "prefix", "link"])
def test_install_refuses_a_damaged_bundle(bundle, harm):
    """One bit, one file less, one file more: nothing is installed."""
    victim = bundle / "compose.yaml"
    match harm:
        case "changed":
            victim.write_text(victim.read_text() + "#")
        case "missing":
            victim.unlink()
        case "prefix":
            (bundle / "models" / "piper-en_US-joe-medium" / "en_US-joe-medium").write_text("hello")
        case "link":
            (bundle / "models" / "linked").symlink_to("/etc/passwd")
        case _:
            (bundle / "models" / "stranger").write_text("hello")

    done = run(bundle / "install.sh", "--check")

    assert done.returncode == 1
    assert "bundle" in done.stderr


def test_install_needs_no_network(bundle, docker, tmp_path):
    """Images loaded, models copied, a certificate made, everything started; a second time changes nothing of theirs."""
    home = tmp_path / "box"
    environment = {**os.environ, "PARLEY_HOME": str(home)}

    first = run(bundle / "install.sh", "box.local", env=environment)
    certificate = (home / "certificates" / "fullchain.pem").read_text()
    again = run(bundle / "install.sh", "box.local", env=environment)

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert (home / "models" / "piper-en_US-joe-medium" / "en_US-joe-medium.onnx").is_file()
    assert "SERVER_NAME=box.local" in (home / ".env").read_text()
    assert (home / "certificates" / "fullchain.pem").read_text() == certificate
    told = docker.read_text().splitlines()
    assert [line for line in told if line.startswith("load")]
    assert f"compose --file {home}/compose.yaml up --detach --wait --no-build --pull never" in told


@pytest.mark.parametrize("folder", [DOCKER, JETSON], ids=["docker", "jetson"])
def test_the_private_key_is_for_its_owner_and_the_group_that_nginx_has(folder, tmp_path):
    """Nobody else on the host reads it; compose gives NGINX the group that the script prints, root's by default."""
    printed = run(DOCKER / "certificate.sh", "voice.local", tmp_path).stdout
    groups = compose(folder / "compose.yaml")["nginx"]["group_add"]
    group = re.findall(r"^CERTIFICATES_GROUP=(\d+)$", printed, re.MULTILINE) or ["0"]

    key = (tmp_path / "privkey.pem").stat()
    assert (key.st_mode & 0o777, [str(key.st_gid)]) == (0o640, group)
    assert groups == ["0"]
    assert compose(folder / "compose.yaml", CERTIFICATES_GROUP="1234")["nginx"]["group_add"] == ["1234"]


@pytest.mark.parametrize("folder", [DOCKER, JETSON], ids=["docker", "jetson"])
def test_every_service_has_limits(folder):
    """Processes everywhere, memory but for Ollama on the box, which shares it with the GPU; no capability is kept."""
    for name, service in compose(folder / "compose.yaml").items():
        assert service["pids_limit"] <= 512, name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert name in ("models", "worker-models") or "mem_limit" in service or (folder, name) == (JETSON, "ollama"), (
            name
        )
        assert name == "postgres" or service["cap_drop"] == ["ALL"], name  # whose entry point changes its user


def test_compose_passes_any_password_to_the_database():
    """Not as a part of a URL, where it would have to be escaped."""
    password = "p@ss/w:rd #%?&"
    services = compose(DOCKER / "compose.yaml", POSTGRES_PASSWORD=password)
    environment = services["gateway"]["environment"]

    assert environment["PGPASSWORD"] == services["postgres"]["environment"]["POSTGRES_PASSWORD"] == password
    assert make_url(environment["PARLEY_DATABASE_URL"]).password is None


def test_install_announces_the_wyoming_port_unless_its_tenant_is_empty(bundle, docker, tmp_path):
    """Then Home Assistant would find what refuses it."""
    home, avahi = tmp_path / "box", tmp_path / "avahi"
    avahi.mkdir()
    environment = {**os.environ, "PARLEY_HOME": str(home), "AVAHI_SERVICES": str(avahi)}
    found = []
    for line in ("", "PARLEY_WYOMING_TENANT=home\n", "PARLEY_WYOMING_TENANT=\n"):
        if line:
            kept = [each for each in (home / ".env").read_text().splitlines(True) if "WYOMING" not in each]
            (home / ".env").write_text("".join([*kept, line]))
        done = run(bundle / "install.sh", "box.local", env=environment)
        assert done.returncode == 0, done.stderr
        found.append([each.name for each in avahi.iterdir()])

    assert found == [["parley-wyoming.service"], ["parley-wyoming.service"], []]


@pytest.fixture
def ollamas(tmp_path):
    """Ollama's folder as it lies on a disk: a manifest, its blobs, and the rest of a broken pull."""
    folder = tmp_path / "ollama"
    names = []
    for content in (b"settings", b"weights"):
        digest = hashlib.sha256(content).hexdigest()
        blob = folder / "blobs" / f"sha256-{digest}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        names.append({"digest": f"sha256:{digest}", "size": len(content)})
    (folder / "blobs" / "sha256-00-partial").write_bytes(b"half")
    manifest = folder / "manifests" / "registry.ollama.ai" / "library" / "llama3.2" / "latest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "config": names[0], "layers": names[1:]}))
    return folder


def bundled_with(ollamas, folder):
    words = ["bundle", str(folder), "--model", "piper-en_US-joe-medium", "--models-dir", str(MODELS_DIR)]
    model("piper-en_US-joe-medium")
    return CliRunner().invoke(parley, [*words, "--no-wheels", "--no-images", "--ollama-models", str(ollamas)])


def test_bundle_copies_ollama_models(ollamas, docker, tmp_path):
    """They are in the checksums, and lie where compose mounts Ollama's home; what a broken pull left stays behind."""
    bundle, home = tmp_path / "bundle", tmp_path / "box"
    done = bundled_with(ollamas, bundle)
    assert done.exit_code == 0, done.output

    installed = run(bundle / "install.sh", "box.local", env={**os.environ, "PARLEY_HOME": str(home)})

    assert installed.returncode == 0, installed.stderr
    (mounted,) = compose(JETSON / "compose.yaml")["ollama"]["volumes"]
    assert (mounted["source"], mounted["target"]) == ("/opt/parley/ollama", "/root/.ollama")
    assert "llama3.2:latest" in done.output
    for each in ollamas.rglob("sha256-*[!l]"):
        name = each.relative_to(ollamas)
        assert (home / "ollama" / "models" / name).read_bytes() == each.read_bytes()
        assert f"./ollama/models/{name}" in (bundle / "SHA256SUMS").read_text()
    assert not list(home.rglob("*partial"))


@pytest.mark.parametrize(("harm", "said"), [("changed", "damaged"), ("missing", "missing"), ("empty", "no manifests")])
def test_bundle_refuses_a_damaged_ollama_model(ollamas, tmp_path, harm, said):
    """What the box could not repair is told before it is carried there."""
    victim = ollamas / "blobs" / f"sha256-{hashlib.sha256(b'weights').hexdigest()}"
    match harm:
        case "changed":
            victim.write_bytes(b"weighty")
        case "missing":
            victim.unlink()
        case _:
            shutil.rmtree(ollamas / "manifests")

    done = bundled_with(ollamas, tmp_path / "bundle")

    assert done.exit_code == 1
    assert said in done.output


def test_bundle_refuses_a_folder_that_is_not_empty(tmp_path):
    """A folder with something in it is not added to."""
    (tmp_path / "old").write_text("")

    done = CliRunner().invoke(parley, ["bundle", str(tmp_path)])

    assert done.exit_code == 1
    assert "not empty" in done.output


def test_bundle_checksums_are_read_by_sha256sum(tmp_path):
    """Names with spaces as well."""
    (tmp_path / "a b").write_text("x")
    sums = checksums(tmp_path)
    (tmp_path / "SHA256SUMS").write_text(sums)

    assert run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=tmp_path).returncode == 0


# -- The image's steps, here ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.timeout(600)
def test_image_build_steps_make_a_server_that_starts_is_healthy_and_stops(tmp_path):
    """Pinned packages into a clean prefix, Parley as a wheel, health, SIGTERM: as in the container."""
    for name in ("whisper-tiny.en", "whisper-base", "smart-turn-v3", "piper-en_US-joe-medium", "smollm2-135m-instruct"):
        model(name)
    if shutil.disk_usage(tmp_path).free < 3e9:
        missing("3 GB of disk")
    prefix, own = tmp_path / "prefix", tmp_path / "own"
    own.mkdir()
    source = tmp_path / "src"
    source.mkdir()
    for name in ("app", "providers", "storage", "frontend", "requirements", "infra"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for step in ("packages", "parley"):
        done = run(source / "infra/docker/install.sh", step, prefix)
        assert done.returncode == 0, done.stdout + done.stderr
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "PATH": f"{prefix}/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PARLEY_PORT": str(port),
        "PARLEY_MODELS_DIR": str(Path(MODELS_DIR).resolve()),
        "PARLEY_AUDIO_STORAGE_DIR": str(own / "recordings"),
    }

    server = subprocess.Popen(
        [f"{prefix}/bin/parley", "serve", "--vitals"], cwd=own, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        first = json.loads(server.stdout.readline())
        health = run(sys.executable, DOCKER / "health.py", env=environment)
        with closing(urlopen(f"http://127.0.0.1:{port}/")) as page:
            shown = page.read()
        server.send_signal(signal.SIGTERM)
        status = server.wait(TURN_SECONDS + DRAIN_SECONDS + 10)
    finally:
        server.kill()
        server.stdout.close()
        server.wait()

    assert first["event"] == "vitals"
    assert (health.returncode, json.loads(health.stdout)["status"]) == (0, "ok")
    assert b"<html" in shown.lower()
    assert status == 0
    assert run(sys.executable, DOCKER / "health.py", env=environment).returncode == 1
