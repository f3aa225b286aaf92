"""What the API makes of numbers of other kinds: what has one meaning is converted, the rest is an error of one line."""

import numpy as np
import pytest
import torch

import posteriori as pp
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import GaussianBlur, Mask
from posteriori.samplers import DDIM, DPS
from tests.helpers import IMAGE, as_network, image_mixture, small_operators
from tests.samplers.test_protocol import MASK, each, used

PRIOR = image_mixture()
Y = PRIOR.draw(2).bfloat16().float().numpy()  # exact in every format below
FLOATS = {
    "float64": torch.from_numpy(Y).double(),
    "float16": torch.from_numpy(Y).half(),
    "bfloat16": torch.from_numpy(Y).bfloat16(),
    "numpy": Y,
    "numpy float64": Y.astype(np.float64),
    "numpy float16": Y.astype(np.float16),
    "numpy longdouble": Y.astype(np.longdouble),
    "numpy big-endian": Y.astype(">f4"),
    "numpy Fortran": np.asfortranarray(Y),
    "list": Y.tolist(),
}
OTHERS = {
    "uint8": torch.zeros(2, *IMAGE, dtype=torch.uint8),
    "int64": torch.zeros(2, *IMAGE, dtype=torch.int64),
    "bool": torch.zeros(2, *IMAGE, dtype=torch.bool),
    "complex64": torch.zeros(2, *IMAGE, dtype=torch.complex64),
    "numpy uint8": np.zeros((2, *IMAGE), np.uint8),
    "numpy int16": np.zeros((2, *IMAGE), np.int16),
    "numpy object": np.zeros((2, *IMAGE), object),
    "text": "astronaut",
    "nothing": None,
}


def run(sampler, y, operator, prior=PRIOR, **settings):
    return sample(prior, Gaussian(y, operator, 0.2), sampler, progress=False, **settings)


def one_line(error):
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.fixture
def wide_default():
    """Torch's default is float64, as in some people's numerical code."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("operator", small_operators()[:4], ids=lambda operator: operator.name)
def test_a_measurement_of_any_float_is_taken(kind, operator):
    expected = run(DPS(steps=3), torch.from_numpy(Y), operator)
    found = run(DPS(steps=3), FLOATS[kind], operator)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", OTHERS)
def test_a_measurement_of_anything_else_is_refused(kind):
    with pytest.raises(ValueError, match=r"y holds .*: give floating-point numbers on the \[-1, 1\] scale") as error:
        Gaussian(OTHERS[kind], small_operators()[0], 0.2)
    one_line(error)


MASKS = {
    "uint8": lambda keep: keep.byte(),
    "of 255": lambda keep: 255 * keep.byte(),
    "int64": lambda keep: keep.long(),
    "float32": lambda keep: keep.float(),
    "float64": lambda keep: keep.double(),
    "float16": lambda keep: keep.half(),
    "numpy bool": lambda keep: keep.numpy(),
    "numpy uint8": lambda keep: 255 * keep.numpy().astype(np.uint8),
    "numpy uint16": lambda keep: keep.numpy().astype(np.uint16),
    "numpy float64": lambda keep: keep.numpy().astype(float),
    "list": lambda keep: keep.tolist(),
}


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_of_any_two_numbers_is_taken(kind):
    mask = Mask(IMAGE, MASKS[kind](MASK.mask))
    assert mask == MASK
    assert torch.equal(mask.zero_filled(torch.from_numpy(Y)), MASK.zero_filled(torch.from_numpy(Y)))


@pytest.mark.parametrize(
    "mask",
    [
        torch.linspace(0, 1, 8),
        np.linspace(0, 1, 8),
        np.arange(8, dtype=np.uint8),
        torch.tensor([0.0, float("nan")]).repeat(4),
        np.array(["black", "white"] * 4),
        None,
    ],
    ids=["soft", "soft numpy", "grey", "nan", "text", "nothing"],
)
def test_a_mask_of_other_values_is_refused(mask):
    with pytest.raises(ValueError, match="the mask holds more than two values: give True where") as error:
        Mask(IMAGE, mask)
    one_line(error)


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), torch.tensor(3)], ids=repr)
def test_a_seed_of_any_whole_number_is_taken(seed):
    operator, x = small_operators()[3], torch.from_numpy(Y)
    assert torch.equal(Gaussian.simulate(x, operator, 0.2, seed=seed).y, Gaussian.simulate(x, operator, 0.2, seed=3).y)
    y = Gaussian.simulate(x, operator, 0.2).y
    assert torch.equal(run(DDIM(steps=2), y, operator, seed=seed), run(DDIM(steps=2), y, operator, seed=3))


@pytest.mark.parametrize("seed", [-1, 3.0, np.float64(3), "3", None, [1, 2]], ids=repr)
def test_any_other_seed_is_refused(seed):
    with pytest.raises(ValueError, match=r"seed is .*: give a whole number from 0 up") as error:
        run(DDIM(steps=2), Y, small_operators()[0], seed=seed)
    one_line(error)


@pytest.mark.parametrize("keys", [np.array([4, 5]), torch.tensor([4, 5]), (4, 5)], ids=["numpy", "torch", "tuple"])
def test_keys_of_any_whole_numbers_are_taken(keys):
    operator, x = small_operators()[3], torch.from_numpy(Y)
    assert torch.equal(
        Gaussian.simulate(x, operator, 0.2, keys=keys).y, Gaussian.simulate(x, operator, 0.2, keys=[4, 5]).y
    )
    found, expected = (run(DDIM(steps=2), Y, operator, keys=given) for given in (keys, [4, 5]))
    assert torch.equal(found, expected)


def chain(sampler, operator):
    """A new operator, so that what it keeps is made here."""
    new = Mask(IMAGE, operator.mask.clone()) if isinstance(operator, Mask) else GaussianBlur(IMAGE, 1.0, 7)
    y = Gaussian.simulate(PRIOR.draw(2), new, 0.2).y
    return run(sampler, y, new, as_network(PRIOR, "epsilon"), n=2)


@each(steps=3)
def test_a_wide_default_changes_nothing(sampler, request):
    expected = chain(sampler, used(sampler))
    request.getfixturevalue("wide_default")
    found = chain(sampler, used(sampler))
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@each(steps=3)
def test_inference_mode_changes_nothing(sampler):
    expected = chain(sampler, used(sampler))
    with torch.inference_mode():
        found = chain(sampler, used(sampler))
    assert torch.equal(found, expected)


@each(steps=3)
def test_a_measurement_in_float64_is_that_in_float32(sampler):
    operator = used(sampler)
    y = Gaussian.simulate(PRIOR.draw(2), operator, 0.2).y
    assert torch.equal(run(sampler, y.double(), operator, n=2), run(sampler, y, operator, n=2))


@pytest.mark.parametrize("mode", ["wide_default", "inference"])
def test_an_embedded_prior_loads_and_scores_under(mode, request):
    def restored():
        prior = pp.load_prior("faces-64", dtype="float32").at(32)
        x = pp.load_image("astronaut", size=32)
        operator = GaussianBlur(prior.shape, sigma=1.0)
        y = Gaussian.simulate(x, operator, sigma=0.05).y
        found = sample(prior, Gaussian(y, operator, 0.05), DPS(steps=1), progress=False)[0]
        return found, pp.metrics.psnr(found, x), pp.metrics.ssim(found, x), pp.metrics.lpips(found, x)

    expected = restored()
    if mode == "inference":
        with torch.inference_mode():
            found = restored()
    else:
        request.getfixturevalue(mode)
        found = restored()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
