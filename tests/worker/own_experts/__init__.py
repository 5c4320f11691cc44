"""Tests of the package worker.own_experts."""
