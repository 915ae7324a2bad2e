"""Paths that lead to anything but a file."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from quorate import files
from quorate.app.checking import Place, check_quickly
from quorate.calibration.file import load
from quorate.errors import ModelUnusable, SettingsError
from quorate.files import network_place, read_file, refuse_no_file
from quorate.settings import load_settings
from quorate_registry import Registry
from quorate_registry.errors import ManifestError, NoHome, RegistryError
from quorate_registry.store import default_home, owner_note


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


NO_FILES = [
    (make_folder, "a folder"),
    (make_pipe, "a named pipe"),
    (make_socket, "a socket"),
    (make_device, "a device"),
]


@pytest.mark.parametrize(("make", "name"), NO_FILES)
def test_what_is_no_file_is_told_at_once(
    tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    make(tmp_path / "x")
    for refuse in (refuse_no_file, read_file):
        with pytest.raises(SettingsError) as refusal:
            refuse(tmp_path / "x", "name another")
        assert refusal.value.message == f"{tmp_path / 'x'}: is {name}, not a file; name another"


@pytest.mark.parametrize(("make", "name"), NO_FILES)
def test_no_place_of_a_configuration_hangs_on_it(
    tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    make(tmp_path / "x")
    with pytest.raises(SettingsError, match=f"is {name}, not a file"):
        load_settings(tmp_path / "x")
    (tmp_path / "q.toml").write_text(
        '[server]\ntls_certificate = "x"\ntls_key = "x"\n'
        '[ledger]\npath = "x"\n'
        '[[models]]\nid = "m"\nmodel = "./x"\nengine = "llama_cpp"\n'
    )
    _, findings = check_quickly(tmp_path / "q.toml", Place(Registry(tmp_path / "home")))
    lines = [finding.line for finding in findings]
    assert len([line for line in lines if f"is {name}, not a file" in line]) == 3
    assert any("models[0]" in line for line in lines)
    assert "not a file" in load(tmp_path / "x").notes[0] or name == "a folder"
    (tmp_path / "home" / "models.d").mkdir(parents=True)
    make(tmp_path / "home" / "models.d" / "x.toml")
    with pytest.raises(ManifestError, match="is not a file"):
        Registry(tmp_path / "home").list()


def test_a_model_that_is_a_pipe_does_not_hang_its_worker(tmp_path: Path) -> None:
    from quorate.engines.llama_cpp.gguf_header import read_header

    make_pipe(tmp_path / "m.gguf")
    with pytest.raises(ModelUnusable, match="is not a file"):
        read_header(str(tmp_path / "m.gguf"), "m")
    with pytest.raises(RegistryError, match="neither a file nor a folder"):
        Registry(tmp_path / "home").resolve(str(tmp_path / "m.gguf"))


def test_a_place_that_does_not_answer_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, stat = threading.Event(), os.stat

    def hanging(path: Path, **options: bool) -> os.stat_result:
        answer.wait(60)
        return stat(path, **options)

    monkeypatch.setattr(files, "_ANSWER_SECONDS", 0.05)
    monkeypatch.setattr("quorate.files.os.stat", hanging)
    try:
        with pytest.raises(SettingsError, match=r"has not answered for 0\.05 s; go elsewhere"):
            refuse_no_file(tmp_path / "x", "go elsewhere")
    finally:
        answer.set()


def test_a_network_place_is_known_by_its_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:1 / / rw - ext4 /dev/sda rw\n"
        "23 22 0:2 / /srv rw shared:1 - nfs4 host:/x rw\n"
        "24 23 0:3 / /srv/my\\040disk rw - xfs /dev/sdb rw\n"
        "25 22 0:4 / /home rw - fuse.sshfs host: rw\n"
        "nonsense\n"
    )
    for place, kind in {
        "/srv/a/ledger": "nfs4",
        "/srv/my disk/ledger": "",
        "/home/x": "fuse.sshfs",
        "/var/x": "",
        "/srvx": "",
    }.items():
        assert network_place(Path(place), mounts) == kind
    assert network_place(Path("/x"), tmp_path / "absent") == ""


def test_what_the_shell_hands_over_is_read(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"[server]\n")
    os.close(writing)
    try:
        assert load_settings(Path(f"/dev/fd/{reading}")).models == ()
    finally:
        os.close(reading)


def test_a_byte_order_mark_is_no_part_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_bytes(b"\xef\xbb\xbf[server]\nlisten = '127.0.0.1:7'\n")
    assert load_settings(tmp_path / "q.toml").server.listen == "127.0.0.1:7"
    folder = tmp_path / "home" / "models.d"
    folder.mkdir(parents=True)
    (folder / "m.toml").write_bytes(
        b"\xef\xbb\xbfid = 'm'\ndescription = 'M.'\nlicence = 'MIT'\n"
        b"[source]\nkind = 'path'\npath = '/m.gguf'\n"
    )
    assert Registry(tmp_path / "home").get("m").manifest.id == "m"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"HOME": ""}, "HOME is"),
        ({"HOME": "somewhere"}, "HOME is 'somewhere'"),
        ({"HOME": "/"}, "HOME is '/'"),
        ({"HOME": "/home/x", "XDG_DATA_HOME": "data"}, "XDG_DATA_HOME is 'data'"),
        ({"QUORATE_HOME": "~nobody-of-this-name/x"}, "there is no such user"),
    ],
)
def test_a_home_that_nobody_can_mean_is_refused_and_the_way_out_named(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], said: str
) -> None:
    for name in ("HOME", "XDG_DATA_HOME", "QUORATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NoHome) as refusal:
        default_home()
    assert said in str(refusal.value)
    assert str(refusal.value).endswith("; set QUORATE_HOME to a folder for models and ledger")


def test_without_any_home_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(number: int) -> object:
        raise KeyError(number)

    for name in ("HOME", "XDG_DATA_HOME", "QUORATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(NoHome, match=r"no home folder: .*; set QUORATE_HOME to a folder"):
        default_home()
    monkeypatch.setenv("QUORATE_HOME", "/srv/quorate")
    assert default_home() == Path("/srv/quorate")


def test_root_in_the_folder_of_somebody_else_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert bool(owner_note(tmp_path / "quorate")) is (owner != 0)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert owner_note(tmp_path / "quorate") == ""
