"""A page for people, which `posteriori serve` shows: the same requests and the same jobs as the command line's.

``page.py`` is the whole page: ``form.py`` is what is asked, ``tabs.py`` what comes of it, and ``pieces.py`` the HTML in
both. ``desk.py`` has who is there and whose turn it is, and ``tasks.py`` what workers do, each task in a folder of its
own. ``server.py`` serves it all.
"""
