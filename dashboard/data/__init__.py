"""The readers of the dashboard, for data in Redis and in the model store."""
