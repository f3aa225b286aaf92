"""What a network call takes of the memory, and what follows: the images in it, and activations computed again."""

import pytest
import torch
from tests.cli.conftest import random_prior

from posteriori.hub.load import load_prior
from posteriori.jobs import memory
from posteriori.jobs.memory import images_that_pay, kept_room, memory_of_an_image, most_bytes, room
from posteriori.priors.tiled import Tiled


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return random_prior(tmp_path_factory.mktemp("prior") / "tiny", attention=True)


@pytest.fixture
def prior(folder):
    return load_prior(str(folder), dtype="float32")


@pytest.fixture(scope="module")
def convolutional(tmp_path_factory):
    return load_prior(str(random_prior(tmp_path_factory.mktemp("prior") / "any", attention=False)), dtype="float32")


@pytest.fixture
def free(monkeypatch):
    """So many bytes are free from now on."""

    def so_many(size):
        monkeypatch.setattr(memory, "free_memory", lambda device: int(size))

    return so_many


def test_tensors_count_for_as_long_as_they_are_held():
    x = torch.zeros(1000)
    with memory._Live() as live:
        a = x + 1  # 4,000 bytes each
        b = (a * 2)[:10].view(2, 5)  # a view holds all of it
        del a
        c = b + 1  # 40
        d = b.mul_(2)
        del b, c
    assert live.peak == 8000
    assert live.now == 4000
    assert d.shape == (2, 5)


@pytest.mark.parametrize("gradient", [True, False])
def test_what_is_counted_without_computing_is_what_a_call_takes(convolutional, gradient, monkeypatch):
    counted = memory_of_an_image(convolutional, gradient=gradient)
    monkeypatch.setattr(type(convolutional), "shadow", lambda self: self)
    assert counted == pytest.approx(memory_of_an_image(convolutional, gradient=gradient), rel=0.02)


def test_a_gradient_takes_more_and_memory_grows_with_the_picture(convolutional):
    with_gradient, without = (memory_of_an_image(convolutional, gradient=gradient) for gradient in (True, False))
    assert with_gradient > 2 * without
    assert memory_of_an_image(convolutional.at(64), gradient=True) == pytest.approx(4 * with_gradient, rel=0.1)


def test_a_large_picture_takes_what_the_tiles_of_one_network_call_take(convolutional):
    one = memory_of_an_image(convolutional.at((56, 56)), gradient=True)
    for together in (1, 3):
        tiled = Tiled(convolutional, (3, 96, 96), tile=64, overlap=16, together=together)
        assert tiled.tile_size == (56, 56)
        assert memory_of_an_image(tiled, gradient=True) == together * one


def test_gradients_are_the_same_where_activations_are_computed_again_and_take_less(prior, folder):
    lean = load_prior(str(folder), dtype="float32")
    assert lean.save_memory()
    generator = torch.Generator().manual_seed(0)
    x_t, v = (torch.randn(2, *prior.shape, generator=generator) for _ in range(2))
    level = prior.schedule.level(300)
    (x0, *_), vjp = prior.linearise(x_t, level, clip=True)
    (other, *_), again = lean.linearise(x_t, level, clip=True)
    assert torch.equal(x0, other)
    expected = vjp(v)
    for _ in range(2):
        assert torch.allclose(again(v, again=True), expected, rtol=1e-5, atol=1e-6)
    assert memory_of_an_image(lean, gradient=True) < 0.8 * memory_of_an_image(prior, gradient=True)


def test_as_many_images_as_pay_go_together_where_there_is_memory_for_them(prior, free):
    free(2**40)
    assert room(prior, None, gradient=True) == images_that_pay(prior) == 32
    assert [images_that_pay(prior.at(size)) for size in (64, 128, 256)] == [8, 2, 1]
    assert room(prior, 5, gradient=True) == 5
    assert not prior.checkpointing


def test_fewer_where_there_is_not(prior, free):
    said, one = [], memory_of_an_image(prior, gradient=True)
    free(2 * 3.5 * one)
    assert room(prior, None, gradient=True, say=said.append) == 3
    assert room(prior, None, gradient=False) > 3
    free(2 * 2 * 3.5 * one)
    assert room(prior, None, gradient=True, processes=2, say=said.append) == 3
    assert said == []


def test_activations_are_computed_again_where_one_gradient_takes_too_much(prior, free):
    said, one = [], memory_of_an_image(prior, gradient=True)
    free(1.9 * one)
    assert room(prior, None, gradient=False, say=said.append) >= 1
    assert room(prior, None, gradient=True, checkpointing="off", say=said.append) == 1
    assert (said, prior.checkpointing) == ([], False)
    assert room(prior, None, gradient=True, say=said.append) == 1
    assert prior.checkpointing
    assert len(said) == 1
    assert "activations are computed again in the backward pass" in said[0]
    assert room(prior, 1, gradient=True, say=said.append) == 1
    assert len(said) == 1


def test_a_batch_that_was_given_counts_too(prior, free):
    free(20 * memory_of_an_image(prior, gradient=True))
    assert room(prior, 9, gradient=True) == 9
    assert not prior.checkpointing
    assert room(prior, 11, gradient=True) == 11
    assert prior.checkpointing


def test_one_image_too_many_is_said_before_any_work(prior, free):
    free(250_000)
    with pytest.raises(MemoryError, match=r"one picture of 32 x 32 needs .* GiB, and .* of memory are free"):
        room(prior, None, gradient=True)


def test_a_folder_keeps_the_batch_that_it_was_begun_with(prior, free, tmp_path):
    free(2 * 3.5 * memory_of_an_image(prior, gradient=True))
    batch, note = kept_room(tmp_path, prior, "0", None, gradient=True)
    assert (batch, list(tmp_path.iterdir())) == (3, [])
    note()
    free(2**40)
    for asked, found in ((None, 3), (7, 7), (None, 3)):
        batch, note = kept_room(tmp_path, prior, "0", asked, gradient=True)
        note()
        assert batch == found
    assert kept_room(tmp_path, prior, "1", None, gradient=True)[0] == 32


def test_sizes_as_people_write_them():
    assert [memory.read_size(text) for text in ("4G", "1.5GiB", "500 MB", "8k")] == [
        2**32,
        3 * 2**29,
        500 * 2**20,
        8192,
    ]
    for text in ("", "4", "0G", "-1G", "many"):
        with pytest.raises(ValueError, match=r"^--max-memory is '.*': give a size like 4G or 500M$"):
            memory.read_size(text)


def test_tiles_are_as_large_as_the_memory_lets_them(monkeypatch):
    prior = load_prior("photo", dtype="float32")
    monkeypatch.setattr(memory, "peak_memory", lambda device: 2**30)
    sides = [memory.tile_within(prior, int(gib * 2**30), gradient=False) for gib in (1.2, 1.5, 2, 64)]
    assert sides == sorted(sides)
    assert sides[0] < sides[-1] == 512
    pixel = memory.memory_of_an_image(prior.at(256), gradient=False) / 256**2
    assert pixel * sides[0] ** 2 < 0.2 * 2**30
    with pytest.raises(ValueError, match=r"^--max-memory is 1 GiB: photo needs 1.* GiB at least$"):
        memory.tile_within(prior, 2**30, gradient=True)
    prior.tile = 128
    assert prior.at((200, 300)).tile_size <= (128, 128)


def test_what_is_alive_is_counted():
    def work():
        x = torch.zeros(1000)  # 4,000 bytes
        y = x + 1
        del x
        return y + 1

    assert most_bytes(work) == 8000


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_sparse_tensors_are_passed_over():
    matrix = torch.eye(50).to_sparse_csr()
    assert most_bytes(lambda: matrix @ torch.zeros(50, 4)) >= 4 * 50 * 4
