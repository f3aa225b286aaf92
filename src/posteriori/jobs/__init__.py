"""Everything that takes longer than a few seconds: jobs, named by their settings, done once, resumed after a kill.

A ``Job`` is a frozen dataclass of settings (``key.py``). Its result is complete in a store or absent (``store.py``). An
executor does jobs, here or elsewhere, and reports their progress (``executors.py``). ``run`` combines the three. A
folder that a command writes to is locked (``lock.py``).
"""
