"""The page that `posteriori serve` shows. It makes the same requests and runs the same jobs as the command line.

``page.py`` builds the page: ``form.py`` has the inputs, ``tabs.py`` the tabs with their results, ``pieces.py`` the HTML
of both. ``desk.py`` has the sessions and the queue, ``tasks.py`` the workers' tasks, each in a folder of its own.
``server.py`` serves the page.
"""
