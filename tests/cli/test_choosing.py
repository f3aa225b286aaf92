import json
import math
from itertools import product

import pytest
import torch
from tests.helpers import IMAGE, image_mixture, small_operators

from posteriori.hub.load import embedded
from posteriori.likelihoods import Gaussian, GaussianNoise, PoissonNoise
from posteriori.loop import sample
from posteriori.operators import OPERATORS, BoxMask, Dense, Downsample, GaussianBlur, Identity, Mask
from posteriori.priors.mixture import GaussianMixture
from posteriori.settings.choosing import GOALS, Choice, choose, is_auto, kind
from posteriori.settings.text import read_operator, read_sampler

MEASURED = ("box-mask", "gaussian-blur", "downsample", "identity")
NOISES = (0.01, 0.05, 0.2)


@pytest.mark.parametrize("prior", [*embedded(), "", "some-other-prior"])
def test_every_choice_is_a_sampler_that_takes_the_operator(prior):
    measured = {own.name: Gaussian(own(torch.zeros(1, *IMAGE)), own, 0.1) for own in small_operators()}
    for operator, goal, sigma in product(MEASURED, GOALS, (0.0, *NOISES, 1.0)):
        choice = choose(f"auto:{goal}", prior, operator, sigma, samples=2)
        spec = read_sampler(choice.sampler)
        assert isinstance(measured[operator], spec.build().requires)
        assert spec.build().with_steps(choice.steps)
        best = {"fidelity": "PSNR", "looks": "LPIPS", "uncertainty": "intervals"}[goal]
        assert choice.reason.startswith(f"{choice.sampler}, {choice.steps} steps, for the best {best} on {operator} (")
        assert (choice.goal, choice.operator, choice.prior) == (goal, operator, prior)


def choice(prior, noise, sampler):
    return Choice("fidelity", prior, "box-mask", noise, sampler, 30, "measured")


@pytest.fixture
def two_choices(monkeypatch):
    found = [choice("mine", 0.2, "ddrm"), choice("mine", 0.05, "ddnm"), choice("other", 0.05, "dps")]
    monkeypatch.setattr("posteriori.settings.choosing.choices", lambda: found)


@pytest.mark.parametrize(
    ("sigma", "sampler"),
    [(0.2, "ddrm"), (0.4, "ddrm"), (0.11, "ddrm"), (0.09, "ddnm"), (0.05, "ddnm"), (0.05 / math.sqrt(5), "ddnm")],
)
@pytest.mark.usefixtures("two_choices")
def test_the_choice_is_the_one_measured_with_this_prior_at_the_nearest_noise(sigma, sampler):
    assert choose("auto", "mine", "box-mask", sigma).sampler == sampler


@pytest.mark.parametrize(
    ("prior", "operator", "sigma", "said"),
    [
        ("mine", "box-mask", 0.0, "nothing was measured with mine at noise 0; "),
        ("mine", "box-mask", 0.02, "nothing was measured with mine at noise 0.02; "),
        ("mine", "box-mask", 0.5, "nothing was measured with mine at noise 0.5; "),
        ("mine", "dense", 0.05, "nothing was measured with mine; "),
        ("other", "gaussian-blur", 0.05, "nothing was measured with other; "),
        ("yours", "box-mask", 0.05, "nothing was measured with yours; "),
        ("", "box-mask", 0.05, "nothing was measured with this prior; "),
    ],
)
@pytest.mark.usefixtures("two_choices")
def test_what_was_not_measured_is_derived_and_said(prior, operator, sigma, said):
    found = choose("auto", prior, operator, sigma)
    assert found.sampler == "diffpir(lambda_=1.0, zeta=1.0)"
    assert found.source == f"{said}its data step is Bayes' rule for N(x0, sigma_bar^2 I)"


@pytest.mark.parametrize("cls", OPERATORS, ids=lambda cls: cls.name)
@pytest.mark.parametrize("noise", [GaussianNoise(0.0), GaussianNoise(0.01), GaussianNoise(0.2), PoissonNoise(30.0)])
def test_the_derived_choice_takes_every_operator_and_noise(cls, noise):
    if cls in (Dense, Mask):  # which a text cannot name
        return
    prior, text = image_mixture(), "gaussian-blur(sigma=1.0, size=5)" if cls is GaussianBlur else cls.name
    spec = read_operator(text)
    like = noise.simulate(prior.draw(1).float().clamp(-1, 1), spec.build(IMAGE))
    asked = product(GOALS, (1, 2))
    own = kind(spec.parts, noise)
    chosen = {
        choose(f"auto:{goal}", "", cls.name, noise.level, samples=n, steps=2, kind=own).sampler for goal, n in asked
    }
    for text in chosen:
        x = sample(prior, like, read_sampler(text).build().with_steps(2), progress=False)
        assert torch.isfinite(x).all()


def test_few_scattered_pixels_are_another_kind():
    def of(text):
        return kind(read_operator(text).parts, GaussianNoise(0.05))

    assert of("random-mask(share=0.92)") == of("decimate(factor=2)") == "scattered"
    assert of("random-mask(share=0.5)") == of("outpaint") == of("downsample(factor=4)") == "linear"
    assert kind(read_operator("decimate(factor=4) @ blur").parts, GaussianNoise(0.05)) == "linear"
    assert kind((), GaussianNoise(0.0), seen=0.1) == "scattered"
    for text in ("random-mask(share=0.9)", "decimate(factor=4)"):
        spec = read_operator(text)
        A, (part,) = spec.build((1, 40, 40)), spec.parts
        assert part.cls.seen(**part.fields) == pytest.approx(
            (A.adjoint(A(torch.ones(1, 1, 40, 40))) != 0).float().mean()
        )


def test_without_noise_the_choice_is_the_one_measured_without(monkeypatch):
    found = [
        Choice("fidelity", "mine", "jpeg", noise, name, 30, "measured") for noise, name in ((0.0, "a"), (0.05, "b"))
    ]
    monkeypatch.setattr("posteriori.settings.choosing.choices", lambda: found)
    assert choose("auto", "mine", "jpeg", 0.0, kind="rounded").sampler == "a"
    assert choose("auto", "mine", "jpeg", 0.05, kind="nonlinear").sampler == "b"
    assert choose("auto", "mine", "jpeg", 0.05, kind="other").sampler == "dps"


def test_auto_alone_is_for_fidelity_and_a_mask_is_a_box():
    a, b = choose("auto", "faces-64", "mask", 0.05), choose("auto:fidelity", "faces-64", "box-mask", 0.05)
    assert a == b
    assert [is_auto(text) for text in ("auto", "auto:looks", "dps", "automatic")] == [True, True, False, False]


def test_an_unknown_goal_is_said():
    with pytest.raises(
        ValueError, match="auto:speed: 'speed' is not a goal; give auto, or auto: with one of fidelity, "
    ):
        choose("auto:speed", "faces-64", "box-mask", 0.05)


SHAPE = (3, 8, 8)


@pytest.mark.parametrize(
    "operator",
    [
        Identity(SHAPE),
        BoxMask(SHAPE, size=3),
        GaussianBlur(SHAPE, sigma=1.0),
        Downsample(SHAPE, factor=2),
        Dense(SHAPE, torch.randn(40, 192, generator=torch.Generator().manual_seed(0)) / 14),
    ],
    ids=lambda operator: operator.name,
)
@pytest.mark.parametrize("sigma", NOISES)
def test_the_derived_choice_is_about_as_near_to_the_truth_as_an_exact_sample(operator, sigma):
    """For a Gaussian prior exact samples have twice the squared error of the posterior mean; this has 1.2 to 2.3."""
    i = torch.arange(192)
    covariance = 0.2 * 0.95 ** (i[:, None] - i[None]).abs().double()
    prior = GaussianMixture(torch.zeros(1, *SHAPE), covariance[None])
    truth = prior.draw(32, seed=1)
    y = Gaussian.simulate(truth, operator, sigma, seed=2).y
    chosen = choose("auto", "", operator.name, sigma, samples=2)
    sampler = read_sampler(chosen.sampler).build().with_steps(chosen.steps)
    x = sample(prior, Gaussian(y, operator, sigma), sampler, progress=False)[:, 0]
    least = prior.posterior(Gaussian(y[:1], operator, sigma)).covariance().trace() / 192
    error = (x - truth).square().mean()
    assert 0.8 * least < error < 2.5 * least


def test_one_picture_of_a_noisy_one_is_the_denoisers(face, tmp_path, posteriori, tiny_prior):
    command = ["restore", face, "--prior", tiny_prior, "--operator", "identity", "--noise", 0.1]
    answer = posteriori(*command, "--out", tmp_path / "a")
    assert answer.code == 0
    assert (
        "chosen  denoiser, 1 step, for the best PSNR on identity (one network call gives the posterior mean)"
        in answer.err
    )
    found = json.loads((tmp_path / "a/face/manifest.json").read_text())
    assert (found["network_calls"], found["settings"]["chosen"]["sampler"]) == (1, "denoiser")
    assert posteriori(*command, "--steps", 3, "--out", tmp_path / "d").code == 0  # steps are a sampler's
    assert json.loads((tmp_path / "d/face/manifest.json").read_text())["network_calls"] == 3
    denoised = ["denoise", face, "--prior", tiny_prior, "--sigma", 0.1]
    assert posteriori(*denoised, "--out", tmp_path / "b").code == 0
    a, b = ((tmp_path / name / "face/restored.png").read_bytes() for name in "ab")
    assert a == b
    assert posteriori(*command, "--samples", 2, "--steps", 2, "--out", tmp_path / "c").code == 0  # which it has not
    assert json.loads((tmp_path / "c/face/manifest.json").read_text())["settings"]["chosen"]["sampler"] != "denoiser"


def test_restore_takes_the_choice_and_says_so(restore, face, tmp_path, posteriori, tiny_prior):
    command = ["restore", face, "--prior", tiny_prior, "--operator", "box-mask(size=8)"]
    answer = posteriori(*command, "--out", tmp_path / "a")  # auto is the default
    choice = choose("auto", "tiny", "box-mask", 0.05)
    assert answer.code == 0
    assert f"chosen  {choice.reason}" in answer.err
    found = json.loads((tmp_path / "a/face/manifest.json").read_text())["settings"]
    assert "lambda_=1.0, zeta=1.0" in found["sampler"]
    assert found["steps"] == choice.steps
    assert found["chosen"]["goal"] == "fidelity"
    command += ["--sampler", "auto:looks"]
    assert posteriori(*command, "--steps", 2, "--out", tmp_path / "b").code == 0  # one's own steps count
    assert json.loads((tmp_path / "b/face/manifest.json").read_text())["network_calls"] == 2
    answer = posteriori(*command[:-1], "auto:speed", "--out", tmp_path / "c")
    assert answer.code == 1
    assert "'speed' is not a goal" in answer.err
    assert not (tmp_path / "c").exists()
