"""The scaling's figures are complete, and every reading of every partition was answered."""

import pytest

from tests.benchmarks.measuring import figures_of

pytestmark = pytest.mark.usefixtures("forked_programs")


@pytest.mark.parametrize(
    ("options", "fleets"),
    [
        ("--workers 1,2 --partitions 1,4", ["1x1", "1x4", "2x4"]),
        ("--workers 2 --partitions 1,3 --cluster --router", ["2x3"]),
    ],
)
def test_every_fleet_has_its_figures(capsys: pytest.CaptureFixture[str], options: str, fleets: list[str]) -> None:
    """A round fails where a reading is not answered, so that a ratio stands for all of them."""
    sizes = ("--series", "16", "--rounds", "1", "--seconds", "0.05", "--machines", "2")
    figures = figures_of(capsys, "scaling", *sizes, *options.split())
    names = ("readings_per_s", "ratio", "worker_us", "redis_us", "driver_us", "cores_busy", "redis_busy", "size_error")
    measured = {f"{name}_{fleet}" for name in names for fleet in fleets}
    computed = {f"computed_per_s_2_machines_{servers}" for servers in ("one_redis", "cluster")}
    routed = {name for name in ("routed_per_s_3", "router_us_3", "router_redis_us_3") if "--router" in options}
    assert measured | computed | routed == set(figures)
    assert min((figures[name] for name in routed), default=1) > 0
    assert 1 == figures[f"ratio_{fleets[0]}"]
    assert min(figures[f"{name}_{fleet}"] for name in ("readings_per_s", "redis_us") for fleet in fleets) > 0
    assert figures["computed_per_s_2_machines_one_redis"] <= figures["computed_per_s_2_machines_cluster"]


@pytest.mark.parametrize("listed", ["0", "1,x", ""])
def test_a_wrong_number_of_workers_is_refused(capsys: pytest.CaptureFixture[str], listed: str) -> None:
    """Before anything is started."""
    with pytest.raises(SystemExit):
        figures_of(capsys, "scaling", "--workers", listed)
    assert "use whole numbers above 0, such as 1,2,4" in capsys.readouterr().err
