import json

import pytest

from posteriori.choosing import GOALS, choose, is_auto
from posteriori.operators import OPERATORS
from posteriori.spec import read_sampler

MEASURED = ("box-mask", "gaussian-blur", "downsample", "identity")


@pytest.mark.parametrize("operator", MEASURED)
@pytest.mark.parametrize("goal", GOALS)
def test_every_choice_is_a_sampler_that_takes_the_operator(goal, operator):
    choice = choose(f"auto:{goal}", operator)
    spec = read_sampler(choice.sampler)
    cls = next(cls for cls in OPERATORS if cls.name == operator)
    assert issubclass(cls, spec.cls.requires)
    assert spec.build().with_steps(choice.steps)
    assert choice.reason.startswith(f"{choice.sampler}, {choice.steps} steps, for {goal} on {operator}: ")


def test_auto_alone_is_for_fidelity_and_a_mask_is_a_box():
    assert choose("auto", "mask") == choose("auto:fidelity", "box-mask")
    assert [is_auto(text) for text in ("auto", "auto:looks", "dps", "automatic")] == [True, True, False, False]


def test_what_was_not_measured_is_said():
    with pytest.raises(ValueError, match="auto:speed: 'speed' is no goal; give auto, or auto: with one of fidelity, "):
        choose("auto:speed", "box-mask")
    with pytest.raises(ValueError, match=r"auto: nothing was measured for dense, only for box-mask, .*; name a"):
        choose("auto", "dense")


def test_restore_takes_the_choice_and_says_so(restore, face, tmp_path, posteriori, tiny_prior):
    command = ["restore", face, "--prior", tiny_prior, "--operator", "box-mask(size=8)", "--sampler", "auto:looks"]
    answer = posteriori(*command, "--out", tmp_path / "a")
    choice = choose("auto:looks", "box-mask")
    assert answer.code == 0
    assert f"chosen  {choice.reason}" in answer.err
    found = json.loads((tmp_path / "a/face/manifest.json").read_text())["settings"]
    assert found["sampler"].startswith(read_sampler(choice.sampler).cls.name)
    assert found["steps"] >= choice.steps
    assert found["chosen"]["goal"] == "looks"
    assert posteriori(*command, "--steps", 2, "--out", tmp_path / "b").code == 0  # one's own steps count
    assert json.loads((tmp_path / "b/face/manifest.json").read_text())["network_calls"] < found["steps"]
    answer = posteriori(*command[:-1], "auto:speed", "--out", tmp_path / "c")
    assert answer.code == 1
    assert "'speed' is no goal" in answer.err
    assert not (tmp_path / "c").exists()
