import re
from dataclasses import replace
from pathlib import Path

import torch

import posteriori

README = Path(__file__).parents[1] / "README.md"


def test_the_first_example_runs_and_restores(tmp_path, monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert code, "README has no example"
    lines = [line for line in code[1].splitlines() if line.strip()]
    assert len(lines) <= 15
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    sample = posteriori.sample

    def shorter(prior, likelihood, sampler, **given):
        return sample(prior, likelihood, replace(sampler, steps=20, scale=sampler.scale * 100 / 20), **given)

    monkeypatch.setattr(posteriori, "sample", shorter)
    exec(code[1], names)
    assert names["sampler"].steps == 100
    assert names["samples"].shape == (1, 4, 3, 64, 64)
    assert torch.isfinite(names["samples"]).all()
    blurred, restored = map(float, re.findall(r"([\d.]+) dB", capsys.readouterr().out))
    assert restored > blurred + 1
    assert (tmp_path / "restored.png").exists()


def test_every_public_name_is_there():
    for name in posteriori.__all__:
        assert getattr(posteriori, name) is not None
