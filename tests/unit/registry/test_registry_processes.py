"""What only other processes can show: concurrent pulls, a killed pull, and what an import loads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

import pytest

from quorate_registry.manifest import HubSource, SnapshotSource
from support.loopback_hub import LoopbackHub

PULL = """
import sys
from pathlib import Path
from quorate_registry.disk import Disk
from quorate_registry.download import Downloader
from quorate_registry.hub import Hub
from quorate_registry.manifest import HubSource, SnapshotSource
from quorate_registry.store import Store

def progress(done, total):
    print(done, flush=True)

store = Store(Path(sys.argv[1]))
downloader = Downloader(store, Hub(), Disk())
print("ready", flush=True)
downloader.fetch("tiny", HubSource("someone/tiny-GGUF", "quants/tiny.gguf"), progress)
"""


PULL_CHECKPOINT = """
import sys
from pathlib import Path
from quorate_registry.disk import Disk
from quorate_registry.hub import Hub
from quorate_registry.manifest import SnapshotSource
from quorate_registry.download import Downloader
from quorate_registry.store import Store

def progress(done, total):
    print(done, flush=True)

downloader = Downloader(Store(Path(sys.argv[1])), Hub(), Disk())
print("ready", flush=True)
downloader.fetch("tiny", SnapshotSource("someone/tiny"), progress)
"""


def pulling(
    home: Path, hub: LoopbackHub, tmp_path: Path, code: str = PULL
) -> subprocess.Popen[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, str(home)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_that_pull_one_model_fetch_it_once(
    hub: LoopbackHub, source: HubSource, tiny_gguf: Path, home: Path, tmp_path: Path
) -> None:
    hub.faults.hold = threading.Event()
    with pulling(home, hub, tmp_path) as first, pulling(home, hub, tmp_path) as second:
        assert hub.get_seen.wait(60)
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        hub.faults.hold.set()
        first.communicate(timeout=60)
        second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(hub.seen("GET")) == 1
    folder = home / "models" / "tiny"
    assert (folder / "tiny.gguf").read_bytes() == tiny_gguf.read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["pulled.json", "tiny.gguf"]


def test_a_killed_pull_leaves_no_lock_and_is_resumed(
    hub: LoopbackHub, source: HubSource, tiny_gguf: Path, home: Path, tmp_path: Path
) -> None:
    hub.faults.cut_after = deque([300])
    with pulling(home, hub, tmp_path) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "300\n":
            assert process.poll() is None
        # It is now in the pause before its second attempt.
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert not (home / "models" / "tiny" / "tiny.gguf").exists()
    with pulling(home, hub, tmp_path) as process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert (home / "models" / "tiny" / "tiny.gguf").read_bytes() == tiny_gguf.read_bytes()
    assert hub.seen("GET")[-1].range == "bytes=300-"


def test_two_processes_that_pull_one_checkpoint_fetch_it_once(
    hub: LoopbackHub,
    snapshot: SnapshotSource,
    tiny_checkpoint: dict[str, bytes],
    home: Path,
    tmp_path: Path,
) -> None:
    hub.faults.hold = threading.Event()
    with (
        pulling(home, hub, tmp_path, PULL_CHECKPOINT) as first,
        pulling(home, hub, tmp_path, PULL_CHECKPOINT) as second,
    ):
        assert hub.get_seen.wait(60)
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        hub.faults.hold.set()
        first.communicate(timeout=60)
        second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert sorted(hub.fetched()) == sorted(tiny_checkpoint)
    folder = home / "models" / "tiny"
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint", "pulled.json"]


def test_a_killed_pull_of_a_checkpoint_leaves_no_folder_and_is_resumed(
    hub: LoopbackHub,
    snapshot: SnapshotSource,
    tiny_checkpoint: dict[str, bytes],
    home: Path,
    tmp_path: Path,
) -> None:
    second = "model-00002-of-00002.safetensors"
    before = sum(len(data) for name, data in tiny_checkpoint.items() if name != second)
    hub.faults.cut_after = deque([100_000] * 6 + [300])
    with pulling(home, hub, tmp_path, PULL_CHECKPOINT) as process:
        assert process.stdout is not None
        while process.stdout.readline() != f"{before + 300}\n":
            assert process.poll() is None
        # It is now in the pause before its second attempt.
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    folder = home / "models" / "tiny" / "checkpoint"
    assert not folder.exists()
    with pulling(home, hub, tmp_path, PULL_CHECKPOINT) as process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == tiny_checkpoint
    assert hub.seen("GET")[-1].range == "bytes=300-"
    assert hub.fetched().count("config.json") == 1


@pytest.mark.parametrize("heavy", ["huggingface_hub", "quorate", "grpc", "llama_cpp", "httpx2"])
def test_importing_the_registry_loads_nothing_heavy(heavy: str) -> None:
    code = f"import sys, quorate_registry; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
