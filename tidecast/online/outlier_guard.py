"""The outlier guard: protect the blend from a broken sensor, after a move far larger than usual.

Such a move is a shock: another unit, or a sensor that fails or comes back. Gross errors are ignored and cause no shock
(see `gross_errors.py`). After a shock the experts still read its values, some of them until a season later, and the
large errors dominate their records. Therefore errors, and distances from the last value, are limited to a few usual
largest moves. For some hundred readings after a shock the blend is also watched: at each reading it gains or loses
against the last value, and the last value is the forecast while the loss is too large. Gains and losses are relative,
because after a shock it is not known which sizes are large.

The usual largest move, 0 where it is not known, comes from `gross_errors.Moves`.
"""

SHOCK = 10.0  # usual largest moves: a larger move is a shock
UNTRAINED_SHOCK = 30.0  # the same without a model: the usual largest move is that of the first readings alone
GUESSED_SHOCK = 100.0  # the same while the usual largest move is only guessed, which may be much too small
FARTHEST = 5.0  # usual largest moves: the limit of errors, and of the forecast's distance from the last value
ALERT = 300.0  # readings after a shock during which the blend is watched
REGRET, REGRET_MOST = 2.0, 5.0  # lost readings: above REGRET the last value is the forecast; REGRET_MOST is the maximum
