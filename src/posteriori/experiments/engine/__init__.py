"""Runs that are named by their settings, done group by group, and gone on with after any interruption."""
