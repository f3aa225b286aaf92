"""A page that is served by a process of its own, and a browser in front of it that reaches nothing else."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from posteriori.images.files import load_image, save_image
from tests.cli.conftest import random_prior

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: seconds in which a machine that does much else answers
PATIENCE = 60


@dataclass
class Server:
    """Where it listens, its process, the folder of what it keeps for its users, and its prior."""

    url: str
    process: subprocess.Popen
    folder: Path
    prior: str

    @property
    def sessions(self):
        """The folders of those who are there."""
        (root,) = self.folder.glob("posteriori-*")
        return [path for path in root.iterdir() if path.name != "uploads"]

    @property
    def workers(self):
        """The processes that do what is asked for, by their ids."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                command = stat.with_name("cmdline").read_text()
            except OSError:  # it has ended
                continue
            if parent == self.process.pid and "spawn_main" in command:
                found.append(int(stat.parent.name))
        return found

    @property
    def memory(self):
        """MiB of the server's process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.fixture(scope="session")
def face(tmp_path_factory):
    """A picture of the tiny prior's size."""
    path = tmp_path_factory.mktemp("given") / "face.png"
    save_image(load_image("astronaut", size=32), path)
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory, face):
    pytest.importorskip("gradio", reason="the page needs gradio: pip install 'posteriori[web]'")
    from posteriori.restore.request import Request
    from posteriori.web.tasks import Restore, do

    folder, prior = tmp_path_factory.mktemp("server"), random_prior(tmp_path_factory.mktemp("prior") / "tiny", True)
    runs = tmp_path_factory.mktemp("runs") / "earlier"
    runs.mkdir()
    shutil.copy(face, runs / face.name)
    asked = Request((face.name,), "gaussian-blur(sigma=1.0)", "ddrm", samples=2, steps=2, prior=str(prior))
    do(Restore(str(runs), asked), lambda done, note: None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from posteriori.cli import main; main()"
    given = ["--port", str(port), "--prior", str(prior), "--runs", str(runs.parent), "--max-megapixels", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", *given], env=os.environ | {"TMPDIR": str(folder)}, stderr=subprocess.PIPE
    )
    url, began = f"http://127.0.0.1:{port}/", time.monotonic()
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            break
        except OSError:
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < began + 2 * PATIENCE, "the server does not answer"
            time.sleep(0.2)
    yield Server(url, process, folder, str(prior))
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert not list(folder.glob("posteriori-*")), "what users gave is left behind"


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium is found: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visit(server, browser):
    """Opens a tab of a new user. What it asks of another machine, or goes wrong in its scripts, is an error."""
    contexts, wrong = [], []

    def opened(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(1000 * PATIENCE)
        contexts.append(context)

        def local(route):
            if route.request.url.startswith(server.url):
                route.continue_()
            else:
                wrong.append(route.request.url)
                route.abort()

        context.route("**/*", local)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda told: wrong.append(told.text) if "Content Security Policy" in told.text else None)
        page.goto(server.url)
        page.get_by_role("heading", name="posteriori", exact=True).wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong
