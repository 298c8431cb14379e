"""Validation, weights, devices, threads, files: what every room needs."""
