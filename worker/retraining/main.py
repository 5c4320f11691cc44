"""Run `tidecast retrain --daemon` as a process: the schedule without a worker."""

from collections.abc import Sequence

import structlog

from tidecast.connection import check_address, connect
from tidecast.connection.partitions import PresentSettings, at_present
from tidecast.errors import SettingsError
from tidecast.listening import ListenAddress
from tidecast.log import begin_log
from tidecast.schedule_choice import choose_schedule
from tidecast.settings import Settings, worker_name
from worker.failures.redis_wait import once_redis_answers
from worker.metrics import Health
from worker.retraining.child import COMMAND, check_installed
from worker.retraining.scheduler import Schedule
from worker.retraining.triggers import timing_chosen
from worker.stop import stop_on_signals

LOOK_S = 1.0  # how often the main thread looks whether the schedule fails; a signal ends the wait

log = structlog.get_logger("tidecast.worker")


def run(settings: Settings, command: Sequence[str] = COMMAND, health_port: int | None = None) -> None:
    """Retrain all partitions on schedule until SIGTERM, SIGINT or SIGHUP.

    Args:
        settings: where Redis and the store are, and when to retrain.
        command: the command that starts the child.
        health_port: the port of the metrics and the probes; 0 picks a free port.

    Raises:
        SettingsError: the settings contain no schedule, or one that cannot run here, or Redis stores no valid layout.
    """
    check_address(settings)
    choice = choose_schedule(settings)
    timing = timing_chosen(choice)
    if timing is None:
        raise SettingsError(f"there is no schedule to run: {choice.why_off}; {choice.remedy}")
    check_installed()
    # Not the name of a worker with the same settings: a worker of this name would take over our runs at once.
    owner = f"{worker_name(settings)}:daemon"
    begin_log(settings.log_level, settings.log_format, worker=owner)
    stop = stop_on_signals()
    health = Health()
    if health_port is not None:
        place = ListenAddress(settings.worker.health_host, health_port, "worker.health_host", "--health-port")
        log.info("health served", port=health.serve(place).port)

    def look() -> Settings:
        with connect(settings) as redis:
            return at_present(redis, settings)

    if once_redis_answers(look, health, stop) is None:
        return
    present = PresentSettings(settings)
    with Schedule(
        present, timing, lambda: range(present().partitions), owner, health, asked_to_stop=stop.is_set, command=command
    ) as schedule:
        while not stop.is_set():
            health.show_ready(ready=not schedule.failing, failing=schedule.failing)
            stop.wait(LOOK_S)
    log.info("schedule stopped")
