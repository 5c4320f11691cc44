"""Short series in place of the demo's."""

import math
import random

from tidecast.tools.demo_data import DemoSource

FIRST_MS = 1_700_000_000_000
HOURS = 150  # of each series: too few for a network, whose training would first import TensorFlow


def few() -> list[DemoSource]:
    """Return two short series of the same columns, as each set of columns is trained by a process of its own."""
    noise = random.Random(7)
    waves = [20 + 9 * math.sin(hour * math.pi / 12) + noise.gauss(0, 1) for hour in range(HOURS)]
    return [
        DemoSource(
            series,
            "value",
            ("wind",),
            [
                (series, {"value": wave, "wind": noise.random()}, FIRST_MS + 3_600_000 * hour)
                for hour, wave in enumerate(waves)
            ],
        )
        for series in ("a", "b")
    ]
