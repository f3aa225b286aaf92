"""Suites: the field's tasks with published settings, and what others report of them."""
