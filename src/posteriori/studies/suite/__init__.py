"""Suites: the field's tasks with published settings, and the results that others report."""
