"""What the dashboard reads from Redis and the store."""
