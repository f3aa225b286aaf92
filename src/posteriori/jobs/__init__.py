"""Everything that takes longer than a few seconds: jobs, named by their settings, done once, gone on with after a kill.

A ``Job`` is a frozen dataclass of settings (``key.py``). Its result is whole in a store or not there (``store.py``).
An executor does jobs, here or elsewhere, and reports how far they are (``executors.py``); ``run`` puts
the three together. A folder that a command writes into is held against others (``lock.py``).
"""
