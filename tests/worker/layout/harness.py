"""An installation whose number of partitions changes, step by step."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import count

from tests.harness.connections import connected
from tests.harness.patience import until
from tests.harness.states import all_whole
from tests.worker.harness import NOW
from tidecast.connection.partitions import at_present, offset_of
from tidecast.connection.repartitions import Repartition, order_repartition
from tidecast.settings import Settings
from tidecast.wire import Layout, layout_of
from worker.layout.repartition import Repartitioner
from worker.loop import Worker
from worker.main import make_worker
from worker.metrics import Health
from worker.stop import Stop

SERIES = 12
Times = dict[str, list[str]]


class Plant:
    """An installation with one worker, which is stepped by hand, and a producer that knows only the plain stream."""

    def __init__(self, settings: Settings) -> None:
        named = settings.worker.model_copy(update={"name": "w"})  # the next worker takes over at once
        self.settings = settings.model_copy(update={"worker": named})
        self.redis = connected(settings)
        self.pushed: Times = defaultdict(list)
        self._numbers = count()
        self._now = NOW
        self.worker = self.new_worker()

    def new_worker(self) -> Worker:
        """Return another worker, which takes over as after a kill."""
        self.worker = make_worker(self.settings, Health())
        return self.worker

    @property
    def layout(self) -> Layout:
        """Return the layout in Redis."""
        return layout_of(at_present(self.redis, self.settings))

    def push(self, readings: int, layout: Layout | None = None) -> None:
        """Push readings of all series in turn to the partitions of a layout, or to the plain stream."""
        for n, _ in zip(self._numbers, range(readings), strict=False):
            series = f"s{n % SERIES}"
            key = layout.keys_for(series).readings if layout else "readings"
            fields: dict[bytes | str, str | int] = {"series": series, "value": n * n % 17, "ts": 1000 * (n + 1)}
            self.redis.xadd(key, fields, id=f"{n + 1}-0")  # type: ignore[arg-type] # strings and numbers are fine
            self.pushed[series].append(f"{1000 * (n + 1)}")

    def order(self, partitions: int) -> Repartition:
        """Give the command."""
        layout = self.layout
        order = Repartition(partitions, layout.partitions, layout.generation + 1, 0)
        assert order_repartition(self.redis, "", order)
        return order

    def step(self) -> None:
        """Let the worker do a round, each time a second later."""
        self._now += 1
        self.worker.step(self._now, Stop())

    def move(self, partitions: int) -> None:
        """Step the worker until there are so many partitions."""
        while self.layout.partitions != partitions:
            self.step()

    def serve(self, partitions: int) -> None:
        """Step the worker until there are so many partitions, and all readings are answered."""
        self.move(partitions)
        until(lambda: self.step() or self.answered() == self.pushed)
        assert self.surplus() == 0

    def surplus(self) -> int:
        """Return how many more readings the workers have read than were pushed."""
        read = sum(offset_of(self.redis, keys).counts["read"] for keys in self.layout.present())
        return read - sum(map(len, self.pushed.values()))

    def answered(self) -> Times:
        """Return the times of the answered readings by series, in the order of their forecasts."""
        times: Times = defaultdict(list)
        for part in self.layout.every_part():
            for _, fields in self.redis.xrange(part.keys.forecasts):
                times[fields[b"series"].decode()].append(fields[b"origin"].decode())
        return times

    def states(self) -> dict[str, bytes]:
        """Return the states by series."""
        states: dict[str, bytes] = {}
        for keys in self.layout.present():
            fields = {name.decode(): raw for name, raw in self.redis.hgetall(keys.state).items()}
            states |= all_whole(fields)
        return states


def work(plant: Plant) -> Iterator[float]:
    """Order a repartition, and return its pieces of work, as a worker of its own does them."""
    order = plant.order(3)
    return Repartitioner(connected(plant.settings), plant.settings)._carry_out(plant.layout, order)
