"""The forecasting core: it turns a batch of readings into forecasts, without Redis, clock, log or files."""
