"""What only other processes can show: concurrent pulls, a killed pull, and what an import loads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.loopback_hub import LoopbackHub
from support.pulls import Published

PULL = """
import sys
from pathlib import Path
from quorate_registry.transfer import Disk
from quorate_registry.download import Downloader
from quorate_registry.hub import Hub
from quorate_registry.manifest import HubSource, SnapshotSource
from quorate_registry.store import Store

def progress(done, total):
    print(done, flush=True)

downloader = Downloader(Store(Path(sys.argv[1])), Hub(), Disk())
print("ready", flush=True)
downloader.fetch("tiny", {source}, progress)
"""


def pulling(
    home: Path, hub: LoopbackHub, tmp_path: Path, published: Published
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
        [sys.executable, "-c", PULL.format(source=published.source), str(home)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_that_pull_one_model_fetch_it_once(
    hub: LoopbackHub, published: Published, home: Path, tmp_path: Path
) -> None:
    hub.faults.hold = threading.Event()
    with (
        pulling(home, hub, tmp_path, published) as first,
        pulling(home, hub, tmp_path, published) as second,
    ):
        assert hub.get_seen.wait(60)
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        hub.faults.hold.set()
        first.communicate(timeout=60)
        second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert hub.fetched() == list(published.content)
    folder = home / "models" / "tiny"
    assert published.read(folder / published.name) == published.content
    assert sorted(path.name for path in folder.iterdir()) == sorted(["pulled.json", published.name])


def test_a_killed_pull_leaves_no_lock_and_is_resumed(
    hub: LoopbackHub, published: Published, home: Path, tmp_path: Path
) -> None:
    published.cut(published.last, 300)
    with pulling(home, hub, tmp_path, published) as process:
        assert process.stdout is not None
        while process.stdout.readline() != f"{published.bytes_before(published.last) + 300}\n":
            assert process.poll() is None
        # It is now in the pause before its second attempt.
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    path = home / "models" / "tiny" / published.name
    assert not path.exists()
    with pulling(home, hub, tmp_path, published) as process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert published.read(path) == published.content
    # None is fetched a second time but for the rest of the one that was cut.
    assert hub.fetched() == [*published.content, published.last]
    assert hub.seen("GET")[-1].range == "bytes=300-"


@pytest.mark.parametrize("heavy", ["huggingface_hub", "quorate", "grpc", "llama_cpp", "httpx2"])
def test_importing_the_registry_loads_nothing_heavy(heavy: str) -> None:
    code = f"import sys, quorate_registry; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
