from dataclasses import replace

import pytest
import torch

from posteriori.training.config import TrainConfig
from posteriori.training.loop import build_network
from posteriori.training.optimiser import Muon, build_optimiser

CONFIG = TrainConfig(size=16, channels=(16, 32), norm_groups=8, optimiser="muon", learning_rate=1e-3)


def stepped(config):
    """The network's weights before one step with random gradients, its gradients, and its weights after it."""
    torch.manual_seed(0)
    net = build_network(config)
    optimiser = build_optimiser(net, config)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for p in net.parameters():
        p.grad = torch.randn(p.shape)
    optimiser.step()
    gradients = {name: p.grad.clone() for name, p in net.named_parameters()}
    optimiser.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    return before, gradients, {name: p.detach() for name, p in net.named_parameters()}


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon from 2.9 on")
def test_muon_moves_hidden_weights_along_the_orthogonal_factor_of_their_gradients():
    """By the singular value decomposition, which Muon's five iterations approximate."""
    before, gradients, after = stepped(CONFIG)
    hidden = [name for name in before if before[name].dim() == 4 and "conv_in" not in name and "conv_out" not in name]
    assert len(hidden) > 10
    for name in hidden:
        moved, gradient = (
            (v[name] if v is gradients else before[name] - v[name]).flatten(1) for v in (after, gradients)
        )
        u, _, vh = torch.linalg.svd(gradient, full_matrices=False)
        size = 1e-3 * 0.2 * max(gradient.shape) ** 0.5  # AdamW's root mean square of an update, 0.2 of the rate
        values = torch.linalg.svdvals(moved / size)
        assert values.min() > 0.5, name
        assert values.max() < 1.4, name
        cosine = torch.nn.functional.cosine_similarity(moved.flatten(), (u @ vh).flatten(), dim=0)
        assert cosine > 0.95, name


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon from 2.9 on")
def test_muon_leaves_ends_biases_and_norms_to_adamw():
    _, _, after = stepped(CONFIG)
    _, _, by_adamw = stepped(replace(CONFIG, optimiser="adamw"))
    same = {name for name in after if torch.equal(after[name], by_adamw[name])}
    matrices = {name for name in after if after[name].dim() > 1}
    assert same >= after.keys() - matrices
    assert {name.split(".")[-2] for name in same & matrices} == {
        "conv_in", "conv_out", "linear_1", "linear_2", "time_emb_proj"
    }  # fmt: skip


def test_a_torch_without_muon_is_named(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(ValueError, match=r"optimiser 'muon' is not in torch .*: give adamw or update torch"):
        Muon(build_network(CONFIG), CONFIG)
