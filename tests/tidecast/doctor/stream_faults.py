"""Faults of streams: readings that wait, are odd, late or gone, and groups that are lacking."""

import time

from tests.harness.installation import Installation


def slow(installation: Installation) -> None:
    """A reading that has waited for half a minute."""
    installation.push(90_000)


def stuck(installation: Installation) -> None:
    """Readings that have waited for longer."""
    installation.push(3000)
    installation.push(4000)


def set_aside(installation: Installation) -> None:
    """A sensor that sends no numbers."""
    installation.push(3000, "n/a")
    installation.answer()


def too_late(installation: Installation) -> None:
    """A sensor that sends its day backwards."""
    for step in range(40, 10, -1):
        fields = {"series": "a", "value": "1.0", "ts": installation.began_ms + step}
        installation.redis.xadd("readings", fields, id=f"{installation.began_ms + 60_000 - step}-1")  # type: ignore[arg-type] # numbers are fine
    installation.answer()


def trimmed(installation: Installation) -> None:
    """Readings that were trimmed before they were read."""
    installation.push(3000)
    installation.push(118_000)
    installation.redis.xtrim("readings", maxlen=1, approximate=False)


def far_ids(installation: Installation) -> None:
    """A reading under an id of the year 2100."""
    installation.redis.xadd("readings", {"series": "a", "value": 4}, id="4102444800000-0")
    installation.answer()


def hurried_ids(installation: Installation) -> None:
    """One under an id that is some hours ahead, as after a clock that was."""
    installation.redis.xadd("readings", {"series": "a", "value": 4}, id=f"{round(time.time() * 1000) + 7_200_000}-0")
    installation.answer()


def lost(installation: Installation) -> None:
    """The same, and the worker has noticed."""
    trimmed(installation)
    installation.answer()


def recreated(installation: Installation) -> None:
    """The readings were deleted, and lower ids were pushed."""
    installation.redis.delete("readings")
    installation.redis.xadd("readings", {"series": "a", "value": 4}, id="1-0")


def put_aside(installation: Installation) -> None:
    """The same, with the forecasts out of the way; no worker has looked since."""
    recreated(installation)
    installation.redis.rename("forecasts", "old")


def no_awaited_group(installation: Installation) -> Installation:
    """Return a setting that names a group that does not exist."""
    return installation.told(worker=installation.settings.worker.model_copy(update={"wait_for_group": "plant"}))


def another_awaited_group(installation: Installation) -> Installation:
    """Return a setting with a mistake in the name."""
    installation.redis.xgroup_create("forecasts", "plant", id="0")
    return installation.told(worker=installation.settings.worker.model_copy(update={"wait_for_group": "plamt"}))


def no_passive_group(installation: Installation) -> None:
    """Somebody destroyed the group that shows the lag."""
    installation.redis.xgroup_destroy("readings", installation.settings.worker.lag_group)
