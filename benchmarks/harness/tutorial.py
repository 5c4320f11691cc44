"""`python -m benchmarks.harness.tutorial REDIS_URL`: the loop of a typical tutorial, as a yardstick.

It reads one reading, calls `predict` of a Keras LSTM(50) on the last 24, and writes one forecast; then the next. All
series share one model, which saves loading a thousand.
"""

import os
import sys
from collections import defaultdict, deque
from functools import partial
from typing import Any, cast

from redis import Redis

from tidecast.settings import quiet_tensorflow
from tidecast.wire import keys_of

NAMESPACE = "tutorial"
WINDOW = 24
UNITS = 50


def main(url: str) -> None:
    """Write forecasts until terminated; print `ready` after a first prediction, before the first read."""
    quiet_tensorflow()
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((WINDOW, 1)), keras.layers.LSTM(UNITS), keras.layers.Dense(1)])
    windows: defaultdict[bytes, deque[float]] = defaultdict(partial(deque, [0.0] * WINDOW, WINDOW))
    model.predict(np.zeros((1, WINDOW, 1)), verbose=0)
    keys = keys_of(namespace=NAMESPACE)
    last = b"0-0"
    with Redis.from_url(url, protocol=2) as redis:
        print("ready", flush=True)
        while True:
            reply = cast("list[Any]", redis.xread({keys.readings: last}, count=1, block=250))
            if not reply:
                continue
            last, fields = reply[0][1][0]
            window = windows[fields[b"series"]]
            window.append(float(fields[b"value"]))
            yhat = float(model.predict(np.array(window)[None, :, None], verbose=0)[0, 0])
            redis.xadd(keys.forecasts, {b"series": fields[b"series"], b"yhat": repr(yhat)}, id=last)


if __name__ == "__main__":
    main(sys.argv[1])
