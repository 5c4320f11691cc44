"""The dashboard: an overview of all series, a page for each, and one for retraining, from Redis and the model store."""
