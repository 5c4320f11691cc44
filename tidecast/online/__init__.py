"""The forecasting core: windows, models and a batch of readings in; forecasts out. No Redis, clock, log or file."""
