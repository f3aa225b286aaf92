"""Compares results of suites: which method is better, by how much, and how certain that is."""
