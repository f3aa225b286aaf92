"""A page for people, which `posteriori serve` shows: the same requests and the same jobs as the command line's.

``page.py`` is what is seen and ``pieces.py`` the HTML in it; ``desk.py`` has who is there and whose turn it is, and
``tasks.py`` what workers do, each task in a folder of its own; ``server.py`` serves it all.
"""
