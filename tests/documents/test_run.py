"""Every block of the README and the tutorial, run in its order on a real Redis; so are the clients of other languages.

They need bash, node with npm, which fetches the package `redis`, and go with Debian's package of redigo:
`make test-docs` names the missing ones.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from tests.documents.blocks import ROOT, Block, blocks_of
from tests.documents.sessions import PATIENCE_S, Reader
from tests.harness.events import happen
from tests.harness.patience import until
from tests.harness.processes import worker_process
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.wire import Event, keys_of

pytestmark = [pytest.mark.documents, pytest.mark.keras, pytest.mark.timeout(300)]
NODE = ROOT / "examples" / "clients" / "node"
GO = ROOT / "examples" / "clients" / "go"
GO_LIBRARY = Path("/usr/share/gocode/src/github.com/gomodule/redigo")


@pytest.fixture
def server(redis_program: str) -> Iterator[EmbeddedRedis]:
    """A Redis of the page's own."""
    with EmbeddedRedis(redis_program) as running:
        yield running


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The npm packages for the client in the examples."""
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(NODE / "package.json", folder)
    npm = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    subprocess.run(npm, cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S)
    return folder / "node_modules"


@pytest.fixture(scope="module")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client in the examples, compiled with the library that is on the machine, at whatever version that is."""
    folder = tmp_path_factory.mktemp("go")
    shutil.copytree(GO, folder, dirs_exist_ok=True)
    library = folder / "vendor" / GO_LIBRARY.relative_to(GO_LIBRARY.parents[2])
    library.parent.mkdir(parents=True)
    library.symlink_to(GO_LIBRARY)
    (version,) = re.findall(r"^require (\S+ \S+)$", (folder / "go.mod").read_text(), re.MULTILINE)
    (folder / "vendor" / "modules.txt").write_text(f"# {version}\n## explicit\n{version.split()[0]}/redis\n")
    offline = {**os.environ, "GOFLAGS": "-mod=vendor", "GOPROXY": "off"}
    builds = ["go", "build", "-o", "client", "."], ["go", "build", "-o", "events-client", "./events"]
    for build in (["go", "vet", "./..."], *builds):
        subprocess.run(build, cwd=folder, env=offline, check=True, capture_output=True, timeout=PATIENCE_S)
    return folder / "client"


def runnable(page: str) -> list[Block]:
    """Return the blocks that a test can run."""
    return [block for block in blocks_of(page) if not block.excuse]


def test_the_tutorial_leads_to_good_forecasts_from_the_first_reading_on(tmp_path: Path, server: EmbeddedRedis) -> None:
    """Block by block, as a reader would type them."""
    with Reader(tmp_path, server.url) as reader:
        outputs = [reader.read(block) for block in runnable("docs/tutorial.md")]
        with Redis.from_url(server.url) as redis:
            kinds = {fields[b"kind"] for _, fields in redis.xrange("forecasts")}
    assert b"naive" not in kinds
    together = "\n".join(outputs)
    (skill,) = re.findall(r"^skill (\S+), covered (\d+)%$", together, re.MULTILINE)
    assert float(skill[0]) > 0.5
    assert 60 < int(skill[1]) <= 100
    assert "96 readings pushed" in together
    assert "retraining of partition 0: next 20" in together
    assert (tmp_path / "backtest.csv").read_text().startswith("series,timestamp,yhat")
    assert any((tmp_path / "out" / "reports").glob("*.html"))


def test_a_reader_is_told_when_a_machine_goes_wrong(tmp_path: Path, server: EmbeddedRedis) -> None:
    """From an empty folder to a message, block by block."""
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "inbox.py", tmp_path / "examples")
    with Reader(tmp_path, server.url) as reader:
        outputs = [reader.read(block) for block in runnable("docs/how-to/notify.md")]
        inbox = "python examples/inbox.py 8099"
        until(lambda: re.search(r"Z  anomaly begins  boiler-7  84, expected 4\d", reader.said(inbox)))
        assert "reaches this address" in reader.said(inbox)
    assert "http://127.0.0.1:8099 took the message" in outputs[0]
    assert "anomaly begins  boiler-7  84, " in outputs[-1]


@pytest.mark.parametrize("language", ["node", "go"])
def test_events_are_read_through_a_consumer_group(
    tmp_path: Path, server: EmbeddedRedis, language: str, request: pytest.FixtureRequest
) -> None:
    """The programs of the page print each event and acknowledge it, also those that another run had left."""
    if language == "node":
        (tmp_path / "node_modules").symlink_to(request.getfixturevalue("node_modules"))
        for name in ("events.js", "package.json"):
            shutil.copy(NODE / name, tmp_path)
        command = ["node", "events.js"]
    else:
        command = [str(request.getfixturevalue("go_client").with_name("events-client"))]
    with Redis.from_url(server.url, protocol=2) as redis:
        happen(redis, Event("stuck", "left", "pump-1"))
        redis.xgroup_create("events", "pager", "0")
        redis.xreadgroup("pager", "me", {"events": ">"})
        happen(redis, Event("silent", "new", "pump-2"))
        environment = {**os.environ, "REDIS_URL": server.url}
        with subprocess.Popen(
            [*command, "pager", "me"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout
                lines = [process.stdout.readline() for _ in range(2)]
                until(lambda: redis.xpending("events", "pager")["pending"] == 0)
            finally:
                process.kill()
    assert [("stuck", "left"), ("silent", "new")] == [
        (kind, detail)
        for line in lines
        for kind in ("stuck", "silent")
        for detail in ("left", "new")
        if kind in line and detail in line
    ]


@pytest.mark.parametrize("partitions", [1, 4])
def test_the_node_client_is_answered(
    tmp_path: Path, server: EmbeddedRedis, node_modules: Path, partitions: int
) -> None:
    """Three readings as fast as they are answered, three forecasts, in their order."""
    (tmp_path / "node_modules").symlink_to(node_modules)
    for name in ("client.js", "package.json"):
        shutil.copy(NODE / name, tmp_path)
    answered = [json.loads(line) for line in answered_by(["node", "client.js"], tmp_path, server.url, partitions)]
    assert [42.1, 42.3, 42.2] == [answer["y"] for answer in answered]
    assert [42.1, 42.3, 42.2] == [answer["yhat"] for answer in answered]
    assert_refused(["node", "client.js"], tmp_path)


@pytest.mark.parametrize("partitions", [1, 4])
def test_the_blocks_of_the_readme_do_what_they_say(
    tmp_path: Path, server: EmbeddedRedis, node_modules: Path, partitions: int
) -> None:
    """Training, a worker, and a client in three languages; each client gets its answer."""
    (tmp_path / "node_modules").symlink_to(node_modules)
    wave = 42 + np.sin(np.arange(400) / 4)
    rows = [f"boiler-7,{1_700_000_000_000 + 60_000 * t},{y:.3f}" for t, y in enumerate(wave)]
    (tmp_path / "history.csv").write_text("\n".join(["series,timestamp,value", *rows]))
    with Reader(tmp_path, server.url, partitions) as reader:
        outputs = [reader.read(block) for block in runnable("README.md")]
        in_python, in_node = outputs[-2:]
        assert "400 readings pushed" in outputs[0]
        assert "boiler-7" in reader.said("tidecast tail")
        assert "retraining of partition 0: next 20" in outputs[0]
        assert "yhat" in reader.said("redis-cli XREAD BLOCK 0 STREAMS forecasts '$'")
    assert 4 == len(in_python.split())
    assert re.fullmatch(r"\d+(\.\d+)? \w+\n", in_node)


@pytest.mark.parametrize("partitions", [1, 4])
def test_the_go_client_is_answered(tmp_path: Path, server: EmbeddedRedis, go_client: Path, partitions: int) -> None:
    """The same, on a stream that holds forecasts of before."""
    with Redis.from_url(server.url, protocol=2) as redis:
        redis.xadd("forecasts", {"series": "boiler-6"}, id="1-1")
    answered = [line.split()[1:] for line in answered_by([str(go_client)], tmp_path, server.url, partitions)]
    assert [["boiler-7", "y", y, "yhat", y, "naive"] for y in ("42.1", "42.3", "42.2")] == answered
    assert_refused([str(go_client)], tmp_path)


def assert_refused(client: list[str], folder: Path) -> None:
    """Check that a client sends no value that a worker would set aside, as the client would wait for ever."""
    for wrong in ("abc", "", "nan", "1,5", "0x10", " 1"):
        command = [*client, "boiler-7", "42.1", wrong]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        assert (2, "") == (done.returncode, done.stdout)
        assert "is not a decimal number: write one such as 42.1" in done.stderr


def answered_by(client: list[str], folder: Path, url: str, partitions: int) -> list[str]:
    """Return the output of a client that pushes three readings of a series, while a worker runs.

    The client knows nothing of partitions: its readings are routed, and it finds their forecasts in one stream.
    """
    parted = {"PARTITIONS": str(partitions), "FORECASTS__MERGED": "true"}
    with worker_process(url, folder / "models", **parted), Redis.from_url(url, protocol=2) as redis:
        until(lambda: redis.exists(keys_of(0, partitions).lease))  # the clients' patience is for the answers alone
        done = subprocess.run(
            [*client, "boiler-7", "42.1", "42.3", "42.2"],
            cwd=folder,
            env={**os.environ, "REDIS_URL": url},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert 0 == done.returncode, done.stderr
    return done.stdout.splitlines()
