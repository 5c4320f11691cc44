"""Fit models: training sets, linear experts, LSTMs, shared networks."""
