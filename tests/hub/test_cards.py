"""Cards say what is known of the published checkpoints, and files are held against them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from posteriori.hub import cards as module
from posteriori.hub.cards import Card, CardFile, cards, checked_file, load_card, sha256, vouch
from posteriori.hub.scheduler import schedule_from_config


@pytest.fixture
def card(tmp_path, monkeypatch):
    """A card whose file is five bytes long, in an empty cache."""
    monkeypatch.setenv("POSTERIORI_HOME", str(tmp_path))
    (tmp_path / "priors").mkdir()
    digest = hashlib.sha256(b"12345").hexdigest()
    files = (
        CardFile("a.pt", "https://example.org/a.pt", "https://example.org/page", digest, 5),
        CardFile("b.pt", "https://example.org/b.pt"),
    )
    return Card("tiny", "a tiny card", 64, "epsilon", "none", {}, {"learn_sigma": False}, files)


def test_there_are_two():
    assert list(cards()) == ["256x256_diffusion_uncond", "ffhq-256"]
    for name, found in cards().items():
        assert found == load_card(name)
        assert found.size == 256
        assert found.learned_variance
        schedule = schedule_from_config(found.schedule)
        assert (schedule.T, schedule.betas[0], schedule.betas[-1]) == (1000, 1e-4, 0.02)
        assert all(f.sha256 is None or len(f.sha256) == 64 for f in found.files)
        assert all(f.url.startswith("https://") and f.by_hand.startswith("https://") for f in found.files)


def test_an_unknown_name_lists_the_nearest_first():
    with pytest.raises(ValueError, match=r"'fhq256': there are ffhq-256, 256x256_diffusion_uncond"):
        load_card("fhq256")
    with pytest.raises(ValueError, match="there are 256x256_diffusion_uncond, ffhq-256"):
        load_card("256x256_uncond")


def test_a_good_file_is_found(card):
    path = module.cache_dir() / "a.pt"
    path.write_bytes(b"12345")
    assert checked_file(card) == path


def test_a_missing_file_says_how_to_get_it(card):
    with pytest.raises(FileNotFoundError, match=r"of tiny are not in .*priors: .* `posteriori priors pull tiny`$"):
        checked_file(card)


AGAIN = "get it again from https://example.org/page, or start over with `posteriori priors pull tiny`$"


def test_a_partial_file_says_both_lengths(card):
    (module.cache_dir() / "a.pt").write_bytes(b"123")
    with pytest.raises(ValueError, match=rf"a\.pt has 3 bytes, expected 5: it is partial or another file; {AGAIN}"):
        checked_file(card)


def test_a_wrong_file_says_both_hashes(card):
    (module.cache_dir() / "a.pt").write_bytes(b"12346")
    found = hashlib.sha256(b"12346").hexdigest()
    with pytest.raises(ValueError, match=f"has sha256 {found}, expected {card.files[0].sha256}; {AGAIN}"):
        checked_file(card)


def test_a_copy_without_a_hash_is_the_users_to_vouch_for(card):
    path, digest = module.cache_dir() / "b.pt", hashlib.sha256(b"12346").hexdigest()
    path.write_bytes(b"12346")
    with pytest.raises(ValueError, match=rf"`posteriori priors add tiny {path} --sha256 {digest}`"):
        checked_file(card)
    vouch(path, digest)
    assert (module.cache_dir() / "b.pt.sha256").read_text() == f"{digest}  b.pt\n"
    assert checked_file(card) == path
    (module.cache_dir() / "b.pt.sha256").unlink()
    path.write_bytes(b"12345")  # the same bytes as the copy whose hash is known
    assert checked_file(card) == path


def test_a_good_copy_is_found_beside_a_wrong_one(card):
    (module.cache_dir() / "a.pt").write_bytes(b"123")
    (module.cache_dir() / "b.pt").write_bytes(b"12345")
    assert checked_file(card) == module.cache_dir() / "b.pt"


def test_a_file_is_hashed_anew_when_it_changed_only(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    path.write_bytes(b"12345")
    first = sha256(path)
    with monkeypatch.context() as patch:
        patch.setattr(module.hashlib, "file_digest", lambda *_: pytest.fail("read twice"))
        assert sha256(path) == first == hashlib.sha256(b"12345").hexdigest()
    stat = path.stat()
    path.write_bytes(b"54321")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert sha256(path) == hashlib.sha256(b"54321").hexdigest()


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("POSTERIORI_HOME", str(tmp_path))
    assert module.cache_dir() == tmp_path / "priors"
    monkeypatch.setenv("POSTERIORI_HOME", "~/models")
    assert module.cache_dir() == Path.home() / "models" / "priors"
    monkeypatch.delenv("POSTERIORI_HOME")
    assert module.cache_dir() == user_cache_path("posteriori", appauthor=False) / "priors"


def test_cards_need_no_torch():
    """Or a download would wait seconds for it."""
    code = "import sys; from posteriori.hub import cards, fetch; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
