"""Calls from a user's program use our packages, and leave the user's modules of the same names alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from redis import Redis

import worker
from tidecast.settings import Settings
from tidecast.tools.own_packages import own_packages

FILES = {
    "worker.py": "NAME = 'the user\\'s worker'\n",
    "trainer/__init__.py": "NAME = 'the user\\'s trainer'\n",
    "trainer/pipeline.py": "raise SystemExit('hijacked')\n",
    "dashboard.py": "raise SystemExit('hijacked')\n",
}
# Both ways in one process, which is slow to start: before the user's modules were imported, and after.
PROGRAM = """
import json
import sys
import numpy as np
import pandas as pd
import tidecast

y = np.sin(np.arange(120) / 4) + 0.1 * np.random.default_rng(0).normal(size=120)
frame = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=120, freq="h"), "y": y})
quick = {"train": {"epochs": 1, "shared_epochs": 0}}
rows = []
for _ in range(2):
    rows.append(len(tidecast.backtest(frame, n_windows=24, **quick)))
    rows.append(len(tidecast.read_readings()))
    import trainer
    import worker
    import trainer.__init__
print(json.dumps({"rows": rows, "names": [worker.NAME, trainer.NAME], "again": sys.modules["worker"] is worker}))
"""


@pytest.mark.keras
def test_a_users_worker_and_trainer_are_neither_imported_nor_lost(
    tmp_path: Path, settings: Settings, redis: Redis
) -> None:
    """A notebook beside a `worker.py` calls Tidecast: both get their own modules, before and after."""
    redis.ping()
    for name, source in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    environment = os.environ | {"TIDECAST_REDIS_URL": settings.redis_url.get_secret_value()}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert {"rows": [24, 0, 24, 0], "names": ["the user's worker", "the user's trainer"], "again": True} == answer


def test_where_the_user_has_no_such_modules_nothing_changes() -> None:
    """Our own modules stay what they are: a second copy of a class would not be equal to the first."""
    before = dict(sys.modules)
    with own_packages():
        assert worker is sys.modules["worker"]
    assert before == dict(sys.modules)


def test_a_users_module_comes_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its submodules too."""
    users = {name: ModuleType(name) for name in ("worker", "worker.jobs")}
    for name, module in users.items():
        monkeypatch.setitem(sys.modules, name, module)
    finders = list(sys.meta_path)

    def fail() -> None:
        with own_packages():
            assert "worker.jobs" not in sys.modules
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - our own
        fail()
    assert users == {name: sys.modules[name] for name in users}
    assert finders == sys.meta_path


def test_the_last_of_two_calls_gives_the_names_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads may be in calls of ours; the one that ends first must not pull the modules from under the other."""
    users = ModuleType("trainer")
    monkeypatch.setitem(sys.modules, "trainer", users)
    first = own_packages()
    second = own_packages()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert sys.modules.get("trainer") is not users
    second.__exit__(None, None, None)
    assert sys.modules["trainer"] is users
