"""Short series in place of the demo's."""

import math
import random

from tidecast.tools.demo_data import DemoSource, Reading

FIRST_MS = 1_700_000_000_000


def few() -> list[DemoSource]:
    """Return two short series in place of the demo's."""
    noise = random.Random(7)
    waves = [20 + 9 * math.sin(hour * math.pi / 12) + noise.gauss(0, 1) for hour in range(1000)]
    plain: list[Reading] = [("a", {"value": wave}, FIRST_MS + 3_600_000 * hour) for hour, wave in enumerate(waves)]
    windy: list[Reading] = [("b", values | {"wind": noise.random()}, ts) for _, values, ts in plain]
    return [DemoSource("a", "value", (), plain), DemoSource("b", "value", ("wind",), windy)]
