"""The number of partitions: routing to them, following their changes, and making them."""
