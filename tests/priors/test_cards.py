"""Cards say what is known of the published checkpoints, and files are held against them."""

import hashlib

import pytest

from posteriori.priors import cards as module
from posteriori.priors.cards import Card, CardFile, cards, checked_file, load_card
from posteriori.priors.folder import schedule_from_config


@pytest.fixture
def card(tmp_path, monkeypatch):
    """A card whose file is five bytes long, in an empty cache."""
    monkeypatch.setenv("POSTERIORI_HOME", str(tmp_path))
    (tmp_path / "priors").mkdir()
    digest = hashlib.sha256(b"12345").hexdigest()
    files = (CardFile("a.pt", "https://example.org/a.pt", digest, 5), CardFile("b.pt", "https://example.org/b.pt"))
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


def test_an_unknown_name_lists_the_nearest_first():
    with pytest.raises(ValueError, match=r"'fhq256'; there are ffhq-256, 256x256_diffusion_uncond"):
        load_card("fhq256")
    with pytest.raises(ValueError, match="there are 256x256_diffusion_uncond, ffhq-256"):
        load_card("256x256_uncond")


def test_a_good_file_is_found(card):
    path = module.cache_dir() / "a.pt"
    path.write_bytes(b"12345")
    assert checked_file(card) == path


def test_a_missing_file_says_how_to_get_it(card):
    with pytest.raises(
        FileNotFoundError, match=rf"a\.pt is missing .*{card.files[0].sha256}.*download https://example"
    ):
        checked_file(card)


def test_a_partial_file_says_both_lengths(card):
    (module.cache_dir() / "a.pt").write_bytes(b"123")
    with pytest.raises(ValueError, match=r"a\.pt has 3 bytes, expected 5: .*download https://example"):
        checked_file(card)


def test_a_wrong_file_says_both_hashes(card):
    (module.cache_dir() / "a.pt").write_bytes(b"12346")
    found = hashlib.sha256(b"12346").hexdigest()
    with pytest.raises(ValueError, match=f"has sha256 {found}, expected {card.files[0].sha256}: download"):
        checked_file(card)


def test_a_copy_without_a_hash_is_the_users_to_vouch_for(card):
    path = module.cache_dir() / "b.pt"
    path.write_bytes(b"12346")
    with pytest.raises(ValueError, match=r"expected not recorded: if you trust it, `posteriori priors convert .*b\.pt"):
        checked_file(card)
    path.write_bytes(b"12345")  # the same bytes as the copy whose hash is known
    assert checked_file(card) == path
