"""Tests of the package tidecast.online.kernels.placing."""
