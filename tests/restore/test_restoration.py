"""Which images measurements of any size are of."""

import numpy as np
import pytest
from tests.helpers import as_network, image_mixture

from posteriori.likelihoods import GaussianNoise
from posteriori.restore.inputs import Source
from posteriori.restore.methods import Posterior
from posteriori.restore.restoration import Restoration
from posteriori.settings.text import read_operator, read_sampler


class AnySize:
    """A prior that takes any size, of which the shape alone is looked at."""

    any_size, name = True, "any"

    def __init__(self, shape=(3, 8, 8)):
        self.shape, self.prior = shape, as_network(image_mixture(), "epsilon")
        self.schedule, self.device = self.prior.schedule, self.prior.device

    def at(self, size):
        return AnySize((3, *size))


def case(tmp_path, text, shape):
    np.save(tmp_path / "y.npy", np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32))
    method = Posterior(read_sampler("dps"), 10, 1)
    own = Restoration(AnySize(), {}, method, read_operator(text), None, GaussianNoise(0.05), 0, False, None, None)
    return own.case(Source(str(tmp_path / "y.npy"), "y"))


@pytest.mark.parametrize(
    ("text", "measured", "image"),
    [
        ("mri", (3, 2, 12, 20), (3, 12, 20)),
        ("fourier", (1, 3, 2, 12, 20), (3, 12, 20)),
        ("multicoil-mri(coils=2)", (3, 2, 2, 16, 12), (3, 16, 12)),
        ("ct(views=9)", (3, 17, 9), (3, 12, 12)),
        ("walsh-hadamard(share=0.5)", (3, 128), (3, 16, 16)),
        ("phase-retrieval", (3, 24, 36), (3, 16, 24)),
        ("grey", (1, 12, 20), (3, 12, 20)),
    ],
)
def test_a_measurement_that_is_no_picture_may_have_any_size(tmp_path, text, measured, image):
    own = case(tmp_path, text, measured)
    assert own.operator.shape == image
    assert own.y.shape == (1, *own.operator.measured_shape)


@pytest.mark.parametrize(
    ("text", "measured", "gives"),
    [
        ("mri", (2, 12, 20), (3, 2, 8, 8)),  # a complex image, for which the prior is none
        ("mri", (3, 3, 12, 20), (3, 2, 8, 8)),
        ("multicoil-mri(coils=2)", (3, 4, 2, 16, 12), (3, 2, 2, 8, 8)),
        ("ct(views=9)", (3, 17, 8), (3, 12, 9)),
        ("walsh-hadamard", (3, 12, 12), (3, 16)),
        ("identity", (1, 12, 20), (3, 8, 8)),
        ("identity", (12, 20), (3, 8, 8)),
    ],
)
def test_a_shape_that_no_image_gives_is_refused_in_one_line(tmp_path, text, measured, gives):
    with pytest.raises(ValueError, match=r"y\.npy has shape ") as error:
        case(tmp_path, text, measured)
    assert str(error.value).endswith(
        f"has shape {measured}: with this operator, images (3, 8, 8) have measurements {gives}, "
        "and other sizes accordingly"
    )
