"""Runs of samplers on pictures, done group by group as jobs."""
