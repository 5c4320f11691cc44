"""Format the coefficients, the capacity and the needs as text, each result beside its formula."""

from collections.abc import Iterator

from tidecast.tools.sizing.coefficients import Coefficients
from tidecast.tools.sizing.plan import GB, MEMORY_SHARE, Capacity, Needs, Workload

NAMES = {
    "untrained": "without a model",
    "trained": "with linear experts",
    "own": "+ own LSTM({units})",
    "shared": "+ shared network",
}
BOUNDS = {"cores": "the cores", "redis": "one Redis"}


def capacity_lines(coefficients: Coefficients, workload: Workload, capacity: Capacity) -> Iterator[str]:
    """Yield the coefficients of a machine, and its capacity for these models."""
    memory_gb = coefficients.memory_bytes / GB
    yield f"{coefficients.processor}, {coefficients.cores} cores, {memory_gb:.1f} GB"
    yield ""
    yield f"{'microseconds per reading':26}{'worker_us':>11}{'loop_us':>11}{'redis_us':>11}"
    costs = {text.format(units=coefficients.own_units): getattr(coefficients, name) for name, text in NAMES.items()}
    costs[f"= {workload}"] = coefficients.cost(workload.model, workload.units)
    for name, cost in costs.items():
        yield f"{name:26}{cost.worker_us:11.1f}{cost.loop_us:11.1f}{cost.redis_us:11.1f}"
    yield ""
    yield f"Capacity of this machine ({workload})"
    yield _row("one worker", f"{capacity.one_worker_per_s:,.0f} readings/s", "1e6 / loop_us")
    yield _row("all cores", f"{capacity.cores_per_s:,.0f} readings/s", "1e6 * cores / (worker_us + redis_us)")
    yield _row("one Redis", f"{capacity.redis_per_s:,.0f} readings/s", "1e6 / redis_us")
    yield _row("useful workers", f"{capacity.workers}", f"more gain nothing: the limit is {BOUNDS[capacity.bound]}")
    share = f"{MEMORY_SHARE:.0%} of {memory_gb:.1f} GB, less forecasts and programs"
    yield _row("series in memory", f"{capacity.series:,}", f"{share}, by {_each(coefficients, workload)}")


def need_lines(coefficients: Coefficients, workload: Workload, needs: Needs, load: str) -> Iterator[str]:
    """Yield the needs of a load, which is named by a text such as `20,000 series every 10s`."""
    yield ""
    yield f"Needs of {load} = {needs.per_s:,.1f} readings/s ({workload}); load: readings/s / (2/3 * 1e6)"
    yield _row("workers", f"{needs.workers}", "load * loop_us")
    yield _row("partitions", f"{needs.partitions}", "a power of two from 4 * workers, and series / series.max_series")
    yield _row("cores", f"{needs.cores:.2f}", "load * (worker_us + redis_us)")
    yield _row("Redis servers", f"{needs.redis_servers}", "load * redis_us")
    yield _row("machines like this", f"{needs.machines}", f"by cores, and by {MEMORY_SHARE:.0%} of the memory")
    yield _row(
        "memory of the workers", f"{needs.workers_gb:.2f} GB", f"0.2 GB each + series * {_kb(workload.series_bytes)}"
    )
    states = f"series * {_kb(coefficients.state_bytes)}"
    forecasts = f"partitions * worker.forecasts_kept * {coefficients.forecast_bytes:.0f} B"
    yield _row("memory of Redis", f"{needs.redis_gb:.2f} GB", f"{states} + {forecasts}")
    growth = f"readings/s * 86,400 s * {coefficients.reading_bytes:.0f} B, until worker.retention trims them"
    yield _row("readings in Redis", f"{needs.readings_gb_per_day:.2f} GB/day", growth)


def _row(name: str, value: str, formula: str) -> str:
    return f"  {name:24}{value:>22}   {formula}"


def _each(coefficients: Coefficients, workload: Workload) -> str:
    return f"{_kb(workload.series_bytes)} in the worker + {_kb(coefficients.state_bytes)} in Redis"


def _kb(size: float) -> str:
    return f"{size / 1e3:.1f} kB"
