"""Tests of the package tidecast.online.kernels.networks."""
