"""Downloads from a server on this machine that misbehaves in the ways that servers do, and files added by hand."""

import hashlib
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from posteriori.hub import fetch
from posteriori.hub.cards import Card, CardFile, cache_dir, cards, checked_file, load_card
from posteriori.hub.fetch import add, pull
from posteriori.hub.load import load_prior, prior_record

DATA = bytes(range(256)) * 2000  # 512,000 bytes
DIGEST = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves ``server.data``; the path says how: /ok/, /no-ranges/, /html/, /missing/, /cut/, /silent/, /stall/."""

    server: "Server"

    def do_GET(self):
        how = self.path.rsplit("/", 2)[-2]
        asked = self.headers.get("Range")
        self.server.seen.append((how, asked))
        data, start = self.server.data, 0
        if how == "silent":
            self.server.go_on.wait(10)
            return
        if how == "missing":
            self.send_error(404)
            return
        if how == "html":
            data = b"<html>Google Drive</html>"
        if asked and how not in ("no-ranges", "html"):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8" if how == "html" else "application/octet-stream")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if how in ("cut", "stall"):
            self.wfile.write(data[start : len(data) // 2])
            if how == "stall":
                self.server.go_on.wait(10)
            return
        self.wfile.write(data[start:])

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = DATA
        self.seen: list[tuple[str, str | None]] = []
        self.go_on = threading.Event()

    def handle_error(self, *_):
        pass  # a client that goes away in the middle is what is tested

    def url(self, how):
        return f"http://127.0.0.1:{self.server_port}/{how}/a.pt"

    def card(self, *hows, **change):
        """A card with one copy a way of serving: x.pt is what its name is at the first, y.pt at the second."""
        known = {"sha256": DIGEST, "bytes": len(DATA)} | change
        files = [CardFile(f"{n}.pt", self.url(how), **known) for n, how in zip("xyz", hows, strict=False)]
        return Card("tiny", "a tiny card", 64, "epsilon", "none", {}, {"learn_sigma": False}, tuple(files))


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("POSTERIORI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch, "TIMEOUT", (5, 5))
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def small(adm_small, tmp_path, server, monkeypatch):
    """The recorded network behind the server, and a card called "small" that knows it."""
    file = tmp_path / "mine.pt"
    torch.save(adm_small.state, file)
    server.data = file.read_bytes()
    digest = hashlib.sha256(server.data).hexdigest()
    copy = CardFile("small.pt", server.url("ok"), None, digest, len(server.data))
    card = replace(load_card("ffhq-256"), name="small", size=64, flags=adm_small.flags, files=(copy,))
    register(card, monkeypatch)
    return card


def register(card, monkeypatch):
    known = {**cards(), card.name: card}
    monkeypatch.setattr("posteriori.hub.cards.cards", lambda: known)
    monkeypatch.setattr("posteriori.hub.load.cards", lambda: known)


def unrecorded(card):
    return replace(card, files=(replace(card.files[0], sha256=None, bytes=None),))


def begin(data, name="x.pt"):
    """What an interrupted download leaves."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    beginning = cache_dir() / f"{name}.partial"
    beginning.write_bytes(data)
    return beginning


def quiet(text):
    raise AssertionError(text)


def here():
    return sorted(path.name for path in cache_dir().iterdir() if path.suffix != ".lock")


def test_a_pulled_prior_loads(small, server):
    path = pull(small, say=quiet)
    assert path == cache_dir() / "small.pt"
    assert path.read_bytes() == server.data
    assert here() == ["small.pt"]
    assert load_prior("small").shape == (3, 64, 64)
    digest = small.files[0].sha256
    assert prior_record("small") == {"name": "small", "file": str(path), "sha256": digest, "licence": small.licence}


def test_a_file_that_is_there_is_left_alone(server):
    card, said = server.card("ok"), []
    path = pull(card, say=quiet)
    before = path.stat()
    assert pull(card, say=said.append) == path
    assert said == [f"{path} is here already, and its hash is right"]
    assert path.stat() == before
    assert len(server.seen) == 1


def test_a_wrong_file_that_is_there_is_replaced(server):
    cache_dir().mkdir(parents=True)
    (cache_dir() / "x.pt").write_bytes(DATA[:-1])
    assert pull(server.card("ok"), say=quiet).read_bytes() == DATA


@pytest.mark.parametrize("have", [1, 100_000, len(DATA) - 1])
@pytest.mark.parametrize("how", ["ok", "no-ranges"])
def test_a_download_is_gone_on_from(server, how, have):
    begin(DATA[:have])
    assert pull(server.card(how), say=quiet).read_bytes() == DATA
    assert server.seen == [(how, f"bytes={have}-")]
    assert here() == ["x.pt"]


def test_a_complete_beginning_needs_no_request(server):
    begin(DATA)
    pull(server.card("ok"), say=quiet)
    assert server.seen == []


@pytest.mark.parametrize("known", [len(DATA), None])
def test_a_beginning_that_is_too_long_is_dropped(server, known):
    begin(DATA + b"more")
    assert pull(server.card("ok", bytes=known), say=quiet).read_bytes() == DATA
    assert server.seen[-1] == ("ok", None)


def test_a_complete_beginning_of_unknown_length(server):
    begin(DATA)
    assert pull(server.card("ok", bytes=None), say=quiet).read_bytes() == DATA
    assert server.seen == [("ok", f"bytes={len(DATA)}-")]  # answered by 416: nothing is left


def test_a_wrong_hash_removes_the_file_and_tries_the_next(server):
    card, said = server.card("ok", "ok"), []
    wrong = "0" * 64
    card = replace(card, files=(replace(card.files[0], sha256=wrong), card.files[1]))
    assert pull(card, say=said.append) == cache_dir() / "y.pt"
    assert said == [f"x.pt from 127.0.0.1:{server.server_port}: has sha256 {DIGEST}, expected {wrong}, and was removed"]
    assert here() == ["y.pt"]


def test_a_beginning_of_another_file_is_dropped_at_the_end(server):
    begin(b"x" * 1000)
    with pytest.raises(OSError, match=r"has sha256 .* and was removed"):
        pull(server.card("ok"), say=quiet)
    assert here() == []
    assert pull(server.card("ok"), say=quiet).read_bytes() == DATA


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("html", "a web page came instead of the file"),
        ("missing", "the server says 404 Not Found"),
        ("silent", r"no connection \(ReadTimeout\)"),
    ],
)
def test_what_is_no_file_is_refused(server, how, reason, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", (0.2, 0.2))
    beginning, said = begin(DATA[:1000]), []
    with pytest.raises(
        OSError, match=rf"^tiny could not be downloaded \(x\.pt from 127.0.0.1:\d+: {reason}\): get x\.pt"
    ):
        pull(server.card(how), say=quiet)
    assert beginning.read_bytes() == DATA[:1000]
    assert pull(server.card(how, "ok"), say=said.append) == cache_dir() / "y.pt"
    assert len(said) == 1


def test_another_length_is_seen_before_the_download(server):
    server.data = DATA + b"more"
    with pytest.raises(OSError, match="it has 512,004 bytes there, expected 512,000"):
        pull(server.card("ok"), say=quiet)
    assert here() == []


@pytest.mark.parametrize("how", ["cut", "stall"])
def test_a_download_that_breaks_off_is_kept(server, how, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", (0.2, 0.2))
    with pytest.raises(OSError, match=r"broke off after [\d,]+ bytes, from which the next pull goes on"):
        pull(server.card(how), say=quiet)
    kept = (cache_dir() / "x.pt.partial").read_bytes()
    assert kept == DATA[: len(kept)]
    assert len(kept) > len(DATA) // 2 - fetch.CHUNK - 1
    assert pull(server.card("ok"), say=quiet).read_bytes() == DATA
    assert server.seen[-1] == ("ok", f"bytes={len(kept)}-")


def test_without_a_network_the_error_says_how_to_get_it_by_hand(server):
    with Server() as other:
        nobody = other.url("ok")  # the port is free again, nobody listens
    copies = (
        CardFile("x.pt", nobody, "https://example.org/page", DIGEST, len(DATA)),
        CardFile("y.pt", "https://example.org/y.pt"),
    )
    with pytest.raises(OSError, match="tiny could not be downloaded") as raised:
        pull(replace(server.card("ok"), files=copies), say=quiet)
    assert "\n" not in str(raised.value)
    for part in (
        "no connection (ConnectionError); y.pt from example.org: no hash is recorded for it",
        f"x.pt (512,000 bytes, sha256 {DIGEST}) from https://example.org/page or y.pt from https://example.org/y.pt",
        f"`posteriori priors add tiny FILE` puts it into {cache_dir()}",
    ):
        assert part in str(raised.value)


def test_a_proxy_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    card = server.card("ok")
    card = replace(card, files=(replace(card.files[0], url="http://weights.invalid/ok/a.pt"),))
    assert pull(card, say=quiet).read_bytes() == DATA


def test_progress_is_shown_on_a_terminal_only(server, monkeypatch, capsys):
    pull(server.card("ok"), say=quiet)
    assert capsys.readouterr() == ("", "")
    (cache_dir() / "x.pt").rename(cache_dir() / "x.pt.partial")
    os.truncate(cache_dir() / "x.pt.partial", 1000)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    pull(server.card("ok"), say=quiet)
    shown = capsys.readouterr().err
    assert all(part in shown for part in ("x.pt", "512.0/512.0", "kB", "/s", "left", "0:00:00"))


def limit_files(count):
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.fixture
def small_disk():
    """No file can be longer than 300,000 bytes until the fixture is called."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    limit_files(300_000)
    yield lambda: limit_files(before)
    limit_files(before)


def test_a_full_disk_keeps_what_came(server, small_disk):
    with pytest.raises(OSError, match=r"x\.pt\.partial cannot be written \(File too large\): make room there"):
        pull(server.card("ok", "ok"), say=quiet)
    small_disk()
    assert (cache_dir() / "x.pt.partial").read_bytes() == DATA[:300_000]
    assert pull(server.card("ok"), say=quiet).read_bytes() == DATA
    assert server.seen == [("ok", None), ("ok", "bytes=300000-")]


def pulling(server):
    """A process that is in the middle of a download."""
    copy = CardFile("x.pt", server.url("stall"), None, DIGEST, len(DATA))
    code = (
        "from posteriori.hub import cards\n"
        "from posteriori.hub.cards import Card, CardFile\n"
        f"card = Card('tiny', '', 64, 'epsilon', '', {{}}, {{}}, ({copy!r},))\n"
        "cards.cards = lambda: {'tiny': card}\n"
        "import sys\n"
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in background jobs
        "from posteriori.cli import main\n"
        "sys.argv = ['posteriori', 'priors', 'pull', 'tiny']\n"
        "main()\n"
    )
    running = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    beginning = cache_dir() / "x.pt.partial"
    while running.poll() is None and not (beginning.exists() and beginning.stat().st_size):
        time.sleep(0.01)
    return running, beginning


def test_an_interrupt_keeps_what_came(server):
    """Ctrl-C."""
    running, beginning = pulling(server)
    running.send_signal(signal.SIGINT)
    assert "Traceback" not in running.communicate(timeout=60)[1]
    assert running.returncode == 130
    kept = beginning.read_bytes()
    assert kept
    assert kept == DATA[: len(kept)]
    assert pull(server.card("ok"), say=quiet).read_bytes() == DATA
    assert server.seen[-1] == ("ok", f"bytes={len(kept)}-")


def test_two_at_once_are_refused(server, tmp_path):
    card = server.card("stall", "ok")
    first = threading.Thread(target=pull, args=(card,), kwargs={"say": list})
    first.start()
    while not server.seen:
        time.sleep(0.01)
    (tmp_path / "mine.pt").write_bytes(DATA)
    for again in (lambda: pull(card, say=quiet), lambda: add(card, tmp_path / "mine.pt")):
        with pytest.raises(OSError, match="tiny is being pulled or added by another process: wait until it is done"):
            again()
    server.go_on.set()  # the first copy breaks off, the second comes
    first.join()
    assert pull(card, say=list) == add(card, tmp_path / "mine.pt").with_name("y.pt")


def test_a_lock_is_gone_with_the_process_that_held_it(server):
    """Another process is refused until then, and goes on from what the killed one had."""
    running, beginning = pulling(server)
    with pytest.raises(OSError, match="tiny is being pulled or added by another process: wait until it is done"):
        pull(server.card("ok"), say=quiet)
    running.kill()
    running.communicate(timeout=60)
    have = beginning.stat().st_size
    assert pull(server.card("ok"), say=quiet).read_bytes() == DATA
    assert server.seen[-1] == ("ok", f"bytes={have}-")


@pytest.mark.skipif(os.geteuid() != 0, reason="the superuser alone can become another user")
def test_a_cache_that_another_user_has_filled(small, server, monkeypatch):
    """It can be read from and not written to, as one on a read-only disk."""
    with TemporaryDirectory() as home:
        os.chmod(home, 0o755)
        monkeypatch.setenv("POSTERIORI_HOME", home)
        monkeypatch.setattr("posteriori.hub.load.EMBEDDED", Path(home))  # the package may lie where none else can read
        pull(small, say=quiet)
        os.seteuid(65534)
        try:
            assert load_prior("small").shape == (3, 64, 64)
            said = []
            pull(small, say=said.append)
            assert said == [f"{cache_dir() / 'small.pt'} is here already, and its hash is right"]
            with pytest.raises(OSError, match=r"cannot be written to \(Permission denied\): set POSTERIORI_HOME to a"):
                pull(server.card("ok"), say=quiet)
        finally:
            os.seteuid(0)


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("POSTERIORI_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"priors cannot be written to \(Not a directory\): set POSTERIORI_HOME"):
        pull(server.card("ok"), say=quiet)


def test_a_copy_without_a_hash_needs_the_users(small, server, monkeypatch):
    digest, card = small.files[0].sha256, unrecorded(small)
    register(card, monkeypatch)
    with pytest.raises(
        OSError, match=r"no hash is recorded for it, so that it takes --sha256 HASH\): get small\.pt from"
    ):
        pull(card, say=quiet)
    assert server.seen == []
    with pytest.raises(OSError, match=rf"expected {'0' * 64}, and was removed.* FILE --sha256 {'0' * 64}` puts"):
        pull(card, "0" * 64, say=quiet)
    path = pull(card, digest.upper(), say=quiet)
    assert here() == ["small.pt", "small.pt.sha256"]
    checked = subprocess.run(["sha256sum", "-c", "small.pt.sha256"], cwd=cache_dir(), capture_output=True, text=True)
    assert checked.stdout == "small.pt: OK\n"
    assert checked_file(card) == path
    assert load_prior("small").shape == load_prior(path).shape == (3, 64, 64)
    path.write_bytes(server.data + b"x")
    with pytest.raises(ValueError, match=r"expected none is recorded; if you trust it, `posteriori priors add small /"):
        load_prior("small")


def test_a_hash_that_no_copy_has(server):
    with pytest.raises(ValueError, match=r"every copy of tiny has a recorded hash, and none is 0+: leave out --sha256"):
        pull(server.card("ok"), "0" * 64, say=quiet)
    with pytest.raises(ValueError, match="--sha256 is 'abc': give 64 hexadecimal digits"):
        pull(server.card("ok"), "abc", say=quiet)
    assert server.seen == []


def test_a_trusted_file_that_is_no_such_network_is_not_kept(small, server, monkeypatch):
    card = unrecorded(small)
    server.data = DATA
    with pytest.raises(OSError, match="holds more than tensors, or is not a checkpoint"):
        pull(card, DIGEST, say=quiet)
    assert here() == []


def test_an_added_prior_loads(small, tmp_path):
    mine = tmp_path / "mine.pt"
    before = mine.stat()
    begin(b"of a pull that was given up", "small.pt")
    path = add(small, mine)
    assert path == cache_dir() / "small.pt"
    assert load_prior("small").shape == (3, 64, 64)
    assert mine.stat() == before
    assert path.stat().st_ino != before.st_ino  # a copy: writing to one does not change the other
    assert here() == ["small.pt"]
    there = path.stat()
    assert add(small, mine) == add(small, path) == path
    assert path.stat() == there


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: data[:1000],
            r"has 1,000 bytes, expected [\d,]+: it is partial or another file; get it again from",
        ),
        (lambda data: data[:-1] + b"x", r"has sha256 \w{64}, expected \w{64}; get it again from http"),
    ],
)
def test_a_file_that_is_not_the_cards(small, tmp_path, change, message):
    mine = tmp_path / "mine.pt"
    mine.write_bytes(change(mine.read_bytes()))
    with pytest.raises(ValueError, match=rf"mine\.pt {message}"):
        add(small, mine)
    assert not cache_dir().exists()


def test_what_is_no_file_cannot_be_added(small, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pt is missing: download it from http"):
        add(small, tmp_path / "none.pt")
    with pytest.raises(IsADirectoryError, match=r"is a folder: give the checkpoint in it, e\.g\. .*small\.pt$"):
        add(small, tmp_path)


def test_a_full_disk_leaves_nothing_of_an_added_file(server, tmp_path, small_disk):
    small_disk()
    (tmp_path / "mine.pt").write_bytes(DATA)
    limit_files(300_000)
    with pytest.raises(OSError, match=r"cannot be written \(File too large\): make room there"):
        add(server.card("ok"), tmp_path / "mine.pt")
    small_disk()
    assert here() == []


def test_a_trusted_file_can_be_added(small, adm_small, tmp_path, monkeypatch):
    """The same tensors in another container: its hash is none that the card has."""
    card = replace(small, files=(small.files[0], CardFile("other.pt", "https://example.org/other.pt")))
    register(card, monkeypatch)
    mine = tmp_path / "other.pt"
    torch.save(adm_small.state, mine, _use_new_zipfile_serialization=False)
    digest = hashlib.sha256(mine.read_bytes()).hexdigest()
    with pytest.raises(
        ValueError, match=rf"if you trust it, `posteriori priors add small .*other\.pt --sha256 {digest}`"
    ):
        add(card, mine)
    with pytest.raises(ValueError, match=rf"other\.pt has sha256 {digest}, and --sha256 is 0+: get the file again"):
        add(card, mine, "0" * 64)
    assert add(card, mine, digest) == cache_dir() / "other.pt"
    assert here() == ["other.pt", "other.pt.sha256"]
    assert load_prior("small").shape == (3, 64, 64)
    assert prior_record("small")["sha256"] == digest


class Payload:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_a_trusted_file_runs_no_code(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = Path("evil.pt")
    mine.write_bytes(pickle.dumps(Payload(), protocol=2))
    digest = hashlib.sha256(mine.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=r"^evil\.pt holds more than tensors.* ran no code$"):
        add(unrecorded(small), mine, digest)
    assert not Path("ran").exists()
    torch.save({"a": torch.zeros(1)}, mine)
    with pytest.raises(ValueError, match="time_embed"):
        add(unrecorded(small), mine, hashlib.sha256(mine.read_bytes()).hexdigest())
    assert not cache_dir().exists()
