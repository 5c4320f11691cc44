"""Compiled code on disk: used where it is whole and fits, compiled again where it is not."""

import ast
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from numba.core import config

from tests.harness.compiled_code import QUICK, copy_compiled_code
from tests.harness.patience import PATIENCE_S
from tests.harness.processes import worker_process
from tidecast import code_cache
from tidecast.online.kernels.decorators import compiled, part
from tidecast.settings import Settings


@part
def _half(x: float) -> float:
    return x / 2


def _halved(x: float) -> float:
    return _half(x) + 0.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory for compiled code."""
    config.reload_config()  # else numba does it at the next compilation, if a test before changed the environment
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load() -> Any:
    """Return a dispatcher that has just called the function; its `stats` count what it loaded and what it compiled."""
    function: Any = compiled(_halved)
    assert 2.0 == function(4.0)
    return function


def loaded() -> bool:
    """Return whether the function came from disk; if not, it was compiled."""
    stats = load().stats
    return bool(stats.cache_hits) and not stats.cache_misses


def only_file(folder: Path) -> Path:
    """Return the one file below a directory."""
    (file,) = (path for path in folder.rglob("*") if path.is_file())
    return file


def test_what_was_compiled_is_loaded_by_the_next_process(folder: Path) -> None:
    """One file for a function and all that it calls: a start then takes a second, not ten."""
    assert not loaded()
    assert loaded()
    assert "test_code_cache._halved" in only_file(folder).name


def _with_flipped_bit(data: bytes) -> bytes:
    return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _data: b"",
    "of one byte": lambda data: data[:1],
    "cut in its head": lambda data: data[:40],
    "without code": lambda data: data[: code_cache.HEAD],
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut by a byte": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "with a flipped bit": _with_flipped_bit,
    "of zeros, as after a power cut": lambda data: bytes(len(data)),
    "of garbage": lambda _data: b"\x80\x04garbage" * 1000,
    "with a sound head and garbage": lambda data: data[: code_cache.HEAD] + b"\x7fELF" * 1000,
    "of numba's own": lambda data: data[code_cache.HEAD :],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_compiled_again_and_overwritten(
    folder: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    """LLVM would end the process when it reads such code, at every start; one line of the log names the file."""
    load()
    file = only_file(folder)
    file.write_bytes(damage(file.read_bytes()))
    assert not loaded()
    assert [f"compiled code cannot be used and is compiled again: {file}: the file is damaged"] == caplog.messages
    assert loaded()


def test_a_sound_file_that_cannot_be_unpacked_is_compiled_again(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files on disk save time; a broken one must not prevent the start."""
    with monkeypatch.context() as patch:
        patch.setattr(code_cache.serialize, "dumps", lambda _object: b"no pickle")
        load()
    assert not loaded()
    assert only_file(folder).name in caplog.text
    assert loaded()


@pytest.mark.parametrize(
    ("name", "value"),
    [("numba.__version__", "0.1"), ("llvmlite.__version__", "0.1"), ("platform.python_version", lambda: "3.11.0")],
)
def test_another_version_compiles_for_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    """Both keep their code beside each other, as two environments on one volume do."""
    load()
    with monkeypatch.context() as patch:
        patch.setattr(name, value)
        assert not loaded()
        assert loaded()
    assert loaded()
    assert 2 == len(list(folder.rglob("*.nbc")))


def of_another_processor(patch: pytest.MonkeyPatch) -> None:
    """Let numba compile for a processor that is not this one."""
    code_generator = type(load().targetctx.codegen())
    patch.setattr(code_generator, "magic_tuple", lambda _self: ("x86_64", "another", "+all"))


def test_another_processor_compiles_for_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines may share a volume, and neither runs the other's instructions."""
    load()
    with monkeypatch.context() as patch:
        of_another_processor(patch)
        assert not loaded()
        assert loaded()
    assert loaded()
    assert 2 == len(list(folder.rglob("*.nbc")))


def test_code_of_another_processor_under_our_name_is_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither renamed by hand nor left behind by a program that names its files otherwise."""
    with monkeypatch.context() as patch:
        of_another_processor(patch)
        shutil.rmtree(folder)
        load()
        foreign = only_file(folder).read_bytes()
    shutil.rmtree(folder)
    load()
    only_file(folder).write_bytes(foreign)
    assert not loaded()
    assert loaded()


@pytest.mark.parametrize("changed", ["the function's file", "what all share"])
def test_changed_source_is_compiled_again_without_a_word(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """After an upgrade the old code is useless; it is overwritten without a warning."""
    load()
    digest_of = code_cache._digest_of
    other = Path(__file__) if changed == "the function's file" else code_cache.SOURCES[0]
    monkeypatch.setattr(code_cache, "_digest_of", lambda file: b"new" if file == other else digest_of(file))
    assert not loaded()
    assert loaded()
    assert [] == caplog.messages
    only_file(folder)


REFUSALS = [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO]


def refuse(patch: pytest.MonkeyPatch, method: str, number: int, refused: Path) -> None:
    """Let the files in a directory fail as the system would."""
    original = getattr(Path, method)

    def call(path: Path, *args: Any) -> object:
        if refused in path.parents:
            raise OSError(number, os.strerror(number), str(path))
        return original(path, *args)

    patch.setattr(Path, method, call)


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
def test_where_nothing_can_be_written_every_start_compiles(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A read-only or full disk costs time, never the start; it is logged once, and no piece of a file stays behind."""
    monkeypatch.setattr(code_cache, "_refused", set())
    refuse(monkeypatch, "write_bytes", number, folder)
    for _ in range(2):
        assert not loaded()
    (message,) = caplog.messages
    assert message.startswith("compiled code is not kept, the next start compiles again: ")
    assert os.strerror(number) in message
    assert [] == [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO], ids=errno.errorcode.get)
def test_a_file_that_cannot_be_read_is_overwritten(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Another user's file, or a bad block."""
    load()
    with monkeypatch.context() as patch:
        refuse(patch, "read_bytes", number, folder)
        assert not loaded()
    assert os.strerror(number) in caplog.text
    assert loaded()


@pytest.mark.parametrize("place", ["cache", "cache's parent", "the file"])
def test_a_thing_of_another_kind_in_its_place_does_not_stop_the_start(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A file where the directory belongs, or a directory where the file belongs."""
    if place == "the file":
        load()
        file = only_file(folder)
        file.unlink()
        (file / "below").mkdir(parents=True)
    elif place == "cache":
        folder.write_text("not a directory")
    else:
        (tmp_path / "file").write_text("not a directory")
        monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert not loaded()
    assert not loaded()


def test_code_that_came_with_the_package_is_loaded_from_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's image holds it beside the source; code that does not fit is kept in the user's cache."""
    shipped = tmp_path / "package" / "__pycache__"
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    folders_of = code_cache._folders
    assert Path(__file__).with_name("__pycache__") == folders_of(Path(__file__))[0]
    monkeypatch.setattr(code_cache, "_folders", lambda source: [shipped, folders_of(source)[1]])
    load()
    refuse(monkeypatch, "write_bytes", errno.EROFS, shipped)
    assert loaded()
    assert not (tmp_path / "user").exists()
    only_file(shipped).unlink()
    assert not loaded()
    assert loaded()
    only_file(tmp_path / "user" / "tidecast")


def test_nothing_is_compiled_where_only_loading_is_asked_for(folder: Path) -> None:
    """So a start can detect that it must compile, and log it, before it takes ten seconds."""
    with pytest.raises(code_cache.NotKeptError), code_cache.only_loading():
        load()
    load()
    with code_cache.only_loading():
        assert loaded()
    only_file(folder)
    assert code_cache.can_keep()
    with pytest.raises(code_cache.NotKeptError), code_cache.only_loading():
        compiled(_halved)(1)


@pytest.mark.usefixtures("redis")
def test_a_worker_starts_beside_a_damaged_file(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an operator sees it: one line of the log names the file, and readings are answered."""
    damaged = [file for file in copy_compiled_code(tmp_path).rglob(QUICK) if file.write_bytes(b"garbage")]
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))  # only now: the copy may have to compile first
    with worker_process(settings.redis_url.get_secret_value(), settings.store, "--burst") as process:
        _, log = process.communicate(timeout=PATIENCE_S)
    assert 0 == process.returncode
    lines = [json.loads(line)["event"] for line in log.splitlines()]
    assert lines.index("compiling, once on this machine") < lines.index("compiled") < lines.index("partition acquired")
    assert 1 == sum(any(str(file) in line for file in damaged) for line in lines)
    assert any(file.read_bytes() != b"garbage" for file in damaged)


def test_every_file_whose_constants_are_compiled_renews_the_code() -> None:
    """A constant is part of the machine code: a change of one in another file would have no effect."""
    for kernel in (file for file in code_cache.SOURCES if "kernels" in file.parts):
        for source in _sources_of_constants(ast.parse(kernel.read_text())):
            assert source in code_cache.SOURCES or not source.is_relative_to(code_cache._PACKAGE), (kernel, source)


def _sources_of_constants(module: ast.Module) -> Iterator[Path]:
    """Yield the files whose constants a module imports, or reads from a module that it imports."""
    imports = [node for node in ast.walk(module) if isinstance(node, ast.ImportFrom) and node.module]
    read = {node.value.id for node in ast.walk(module) if _is_constant_of_a_name(node)}
    for node in imports:
        for name in node.names:
            if name.name.isupper():
                yield Path(str(import_module(str(node.module)).__file__))
            elif (name.asname or name.name) in read:
                yield Path(str(import_module(f"{node.module}.{name.name}").__file__))


def _is_constant_of_a_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr.isupper() and isinstance(node.value, ast.Name)
