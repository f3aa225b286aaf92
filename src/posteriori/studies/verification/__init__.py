"""Samplers against posteriors that are known in closed form."""
