"""What a step and a picture cost, on this machine and beside others' code: benches/results.md (``__main__.py``)."""
