"""Sphinx's settings: `make docs` builds the site from these pages, without network.

Sphinx with MyST and the PyData theme: readers know it from numpy, scipy and scikit-image, it reads the Markdown that
GitHub shows, its search works offline, and it loads nothing from elsewhere.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import listed
from docutils import nodes
from PIL import Image

from posteriori import __version__

project = "posteriori"
author = "the posteriori developers"
version = release = __version__
extensions = ["myst_parser", "sphinx_copybutton", "sphinx_design"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "**/README.md"]

html_theme = "pydata_sphinx_theme"
html_title = "posteriori"
html_theme_options = {
    "navigation_with_keys": True,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
}
html_show_sourcelink = False
html_use_index = False
smartquotes = False  # which would make a dash of --out
html_static_path = ["_static"]
html_css_files = ["site.css"]
copybutton_prompt_text = "$ "


def setup(app):
    app.connect("doctree-read", lambda app, doctree: mark_long(doctree))
    app.connect("doctree-read", lambda app, doctree: mark_narrow(doctree, Path(app.srcdir)))
    app.connect("builder-inited", lambda app: listed.write(Path(app.srcdir) / "reference"))
    app.connect("source-read", lambda app, docname, text: text.__setitem__(0, listed.bring_in(docname, text[0])))


def mark_long(doctree):
    """Gives inline code with a word longer than a phone's line a class, by which the style sheet may break it."""
    for code in doctree.findall(nodes.literal):
        if max(map(len, code.astext().split()), default=0) > 34:
            code["classes"].append("long")


def mark_narrow(doctree, folder):
    """Gives small plots a class, by which the style sheet may fit them to a phone: two panels stay side by side."""
    for image in doctree.findall(nodes.image):
        with Image.open(folder / image["uri"]) as picture:
            if picture.width < 600:
                image["classes"].append("narrow")
