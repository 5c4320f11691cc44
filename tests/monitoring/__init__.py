"""Tests against a real Prometheus; `make test-monitoring` runs them."""
