"""The names of a series' conditions, apart from the code that decides them, which needs the compiled loops."""

SERIES_STATES = ("anomalous", "stuck", "silent", "degraded", "ok")  # the first that applies counts
