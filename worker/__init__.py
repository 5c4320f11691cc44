"""The long-running program: reading, window, forecast, commit."""
