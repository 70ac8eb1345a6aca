"""Run the real Terraform against stub providers: no registry, no cloud, no account."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from tests.infra.stub.provider import StubProvider
from tests.infra.stub.schema import read_schema
from tests.strict import missing

ROOT = Path(__file__).parents[3]
SCHEMAS = Path(os.environ.get("PARLEY_TERRAFORM_SCHEMAS", ROOT.parent / "shared" / "terraform"))
PROVIDERS = {"aws": "6.47.0", "azurerm": "4.79.0", "random": "3.7.2"}
"""The providers whose schemas these are, at their versions."""

_UNBOUNDED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass(frozen=True, slots=True)
class Terraform:
    """The command, attached to the stub providers."""

    attached: str

    def run(self, folder: Path, *words: str, scratch: Path) -> subprocess.CompletedProcess[str]:
        """One command in `folder`; what Terraform keeps goes to `scratch`."""
        environment = {
            **os.environ,
            "TF_REATTACH_PROVIDERS": self.attached,
            "TF_DATA_DIR": str(scratch / ".terraform"),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }
        environment.pop("TF_CLI_CONFIG_FILE", None)
        return subprocess.run(
            ["terraform", *words], check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=150
        )


@contextmanager
def attached_terraform() -> Iterator[Terraform]:
    if shutil.which("terraform") is None:
        missing("terraform")
    for name in PROVIDERS:
        if not _file(name).is_file():
            missing(f"the schema {_file(name)} (PARLEY_TERRAFORM_SCHEMAS)")
    with ExitStack() as stack:
        ports = {name: stack.enter_context(_serving(StubProvider(read_schema(_file(name))))) for name in PROVIDERS}
        yield Terraform(
            json.dumps(
                {
                    f"hashicorp/{name}": {
                        "Protocol": "grpc",
                        "ProtocolVersion": 6,
                        "Pid": os.getpid(),
                        "Test": True,
                        "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
                    }
                    for name, port in ports.items()
                }
            )
        )


def _file(provider: str) -> Path:
    return SCHEMAS / f"{provider}.schema.json.gz"


@contextmanager
def _serving(provider: StubProvider) -> Iterator[int]:
    """The port it listens on."""
    calls = {
        name: grpc.unary_unary_rpc_method_handler(
            lambda ask, _, answer=answer: answer(ask),
            request_deserializer=asked.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        for name, (asked, answer) in provider.answers().items()
    }
    server = grpc.server(ThreadPoolExecutor(8), options=_UNBOUNDED)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin6.Provider", calls),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()
