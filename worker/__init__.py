"""The long-running worker: read, update the window, forecast, commit."""
