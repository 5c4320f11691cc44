"""A reader who types the commands of a page, block by block, in a folder and beside a Redis of their own."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from redis import Redis

from tests.documents.blocks import Block
from tests.harness.patience import until
from tidecast.wire import Keys, keys_of

# They go on until they are stopped.
LASTING = ("tidecast worker", "tidecast tail", "tidecast notify", "python examples/inbox.py", "redis-cli XREAD BLOCK 0")
ONCE = (" -n ", " --test")  # with these options they end by themselves
PATIENCE_S = 300.0  # only a program that hangs takes longer, on a busy machine too
# Without redis-cli, its two commands go through the library.
REDIS_CLI = """#!{python}
import os, sys
from redis import Redis
print(Redis.from_url(os.environ["TIDECAST_REDIS_URL"], socket_timeout=None, protocol=2).execute_command(*sys.argv[1:]))
"""
QUICK = {"TIDECAST_TRAIN__EPOCHS": "2", "TIDECAST_TRAIN__SHARED_EPOCHS": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}


class Reader:
    """A runner of blocks; commands without an end run in the background until the `with` block ends.

    Args:
        folder: where everything happens.
        url: of the Redis that stands for the one on the usual port.
        partitions: their number; the commands of the pages know nothing of it.
    """

    def __init__(self, folder: Path, url: str, partitions: int = 1) -> None:
        self.folder = folder
        self._url = url
        self._keys = [keys_of(i, partitions) for i in range(partitions)]
        self._port = url.rpartition(":")[2].partition("/")[0]
        self._lasting: dict[str, subprocess.Popen[bytes]] = {}
        tools = folder / ".tools"
        tools.mkdir()
        self._make_redis_cli(tools / "redis-cli")
        path = os.pathsep.join((str(tools), str(Path(sys.executable).parent), os.environ["PATH"]))
        self._environment = {**os.environ, **QUICK, "PATH": path, "TIDECAST_REDIS_URL": url, "COLUMNS": "120"}
        self._environment |= {"TIDECAST_PARTITIONS": str(partitions), "TIDECAST_FORECASTS__MERGED": "true"}

    def read(self, block: Block) -> str:
        """Run a block to its end, except for lasting commands; return its output."""
        if block.language == "python":
            return self._finish([sys.executable, "-W", "error", "-c", self._here(block.text)])
        if block.language == "js":
            (self.folder / "block.mjs").write_text(self._here(block.text))
            return self._until_it_prints("node block.mjs")
        return "".join(self._type(line) for line in block.text.splitlines() if line)

    def said(self, command: str) -> str:
        """Return the output of a lasting command so far."""
        return self._log(command).read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        codes = {command: self._end(process) for command, process in self._lasting.items()}
        if failed is None:
            assert {0} == {code for command, code in codes.items() if command.startswith("tidecast worker")}, codes

    def _type(self, line: str) -> str:
        if line.startswith(LASTING) and not any(option in line for option in ONCE):
            self._begin(line)
            return ""
        output = self._finish(["bash", "-euo", "pipefail", "-c", line])
        self._answered()
        return output

    def _finish(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert 0 == done.returncode, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _begin(self, line: str) -> None:
        command = line.partition("#")[0].strip()
        with self._log(command).open("wb") as log:
            words = shlex.split(command)
            self._lasting[command] = subprocess.Popen(words, cwd=self.folder, env=self._environment, stdout=log)
        if command.startswith("python "):
            until(lambda: self.said(command))
            return
        with Redis.from_url(self._url, protocol=2) as redis:  # it listens before any other step
            if command.startswith("tidecast worker"):
                until(lambda: all(redis.exists(keys.lease) for keys in self._keys))
            elif command.startswith("tidecast notify"):
                until(lambda: redis.hexists("notify", "after:events"))
            else:
                until(lambda: any(c["cmd"] == "xread" and int(c["flags"].find("b")) >= 0 for c in _others(redis)))

    def _until_it_prints(self, command: str) -> str:
        self._begin_quietly(command)
        return str(until(lambda: self.said(command)))

    def _begin_quietly(self, command: str) -> None:
        with self._log(command).open("wb") as log:
            self._lasting[command] = subprocess.Popen(
                shlex.split(command), cwd=self.folder, env=self._environment, stdout=log
            )

    def _answered(self) -> None:
        """Wait until the worker, if one runs, has answered all that was pushed."""
        if not any(command.startswith("tidecast worker") for command in self._lasting):
            return
        with Redis.from_url(self._url, protocol=2) as redis:
            until(lambda: len(self._keys) == 1 or not redis.xlen("readings"))  # else they are to be routed
            until(lambda: all(_newest(redis, keys) in (None, redis.hget(keys.offset, "last")) for keys in self._keys))

    def _log(self, command: str) -> Path:
        return self.folder / ".tools" / (re.sub(r"[ /]", "-", command).replace("'", "") + ".log")

    def _here(self, text: str) -> str:
        return text.replace("127.0.0.1:6379", f"127.0.0.1:{self._port}")

    def _make_redis_cli(self, path: Path) -> None:
        program = shutil.which("redis-cli")
        script = (
            f'#!/bin/sh\nexec {program} -p {self._port} "$@"\n' if program else REDIS_CLI.format(python=sys.executable)
        )
        path.write_text(script)
        path.chmod(0o755)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> int:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        return process.wait(PATIENCE_S)


def _newest(redis: Redis, keys: Keys) -> bytes | None:
    entries = redis.xrevrange(keys.readings, count=1)
    return entries[0][0] if entries else None  # type: ignore[index,no-any-return] # it is a list


def _others(redis: Redis) -> list[dict[str, str]]:
    return redis.client_list()  # type: ignore[return-value] # it is a list
