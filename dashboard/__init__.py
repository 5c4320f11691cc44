"""The dashboard: one page for all series, one for each, one for retraining. It reads Redis and the model store."""
