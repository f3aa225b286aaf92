import pytest
import torch

from posteriori.samplers import ScoreALD


@pytest.mark.parametrize(("u", "expected"), [(1.0, 15.0), (0.5, 17.5), (0.25, 18.75), (0.0, 20.0)])
def test_lambda_is_linear_in_t(u, expected):
    g = torch.ones(2, 3)
    found = ScoreALD(lambda_T=15.0, lambda_0=20.0).correction(g, g.norm(dim=1, keepdim=True), torch.ones(len(g), 1), u)
    torch.testing.assert_close(found, torch.full((2, 3), expected))


def test_the_reports_values_for_deconvolution():
    assert (ScoreALD().lambda_T, ScoreALD().lambda_0) == (10, 15)
