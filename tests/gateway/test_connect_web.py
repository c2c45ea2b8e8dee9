"""connect-web itself, as the dashboard uses it, as a viewer through a real gateway."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from trainmon.v1 import control_pb2, dashboard_pb2, telemetry_pb2

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "web"


@pytest.fixture
def node() -> str:
    """Return Node.js, with the dashboard's packages there; skip loudly otherwise."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node found: connect-web was not tried")
    if not (WEB / "node_modules/@connectrpc/connect-web").is_dir():
        pytest.skip("no node packages found: run `npm ci` in web/ to try connect-web")
    return found


@pytest.fixture
def descriptors(tmp_path: Path) -> Path:
    """Return a file with the contract's descriptors, dependencies first."""
    modules = (control_pb2, telemetry_pb2, dashboard_pb2)
    found = FileDescriptorSet()
    for module in modules:
        found.file.add().ParseFromString(module.DESCRIPTOR.serialized_pb)
    path = tmp_path / "contract.binpb"
    path.write_bytes(found.SerializeToString())
    return path


async def test_connect_web_understands_every_way_a_call_ends(
    node, descriptors, open_scripted, open_gateway
):
    """Success, error, deadline, a stream that ends well, one that fails late, an empty one."""
    _, address = await open_scripted()
    _, browser = await open_gateway(address)
    process = await asyncio.create_subprocess_exec(
        node,
        str(HERE / "connect_web.mjs"),
        str(WEB),
        f"http://{browser.host}:{browser.port}",
        str(descriptors),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await asyncio.wait_for(process.communicate(), 50)
    assert process.returncode == 0, error.decode()
    seen = {each["name"]: each for each in map(json.loads, out.decode().splitlines())}
    ends = {name: (each["messages"], each["code"]) for name, each in seen.items()}
    assert ends == {
        "unary success": (1, "Ok"),
        "unary error": (0, "PermissionDenied"),
        "unary deadline": (0, "DeadlineExceeded"),
        "stream success": (2, "Ok"),
        "stream error": (2, "DataLoss"),
        "stream empty": (0, "Ok"),
    }
    assert seen["unary error"]["message"] == "nicht für dich: 100 %"
    assert seen["stream error"]["message"] == "50 % of it: späte Störung\nmit Zeilen"
