"""Tests of the package tidecast.own_experts."""
