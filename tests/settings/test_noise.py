import pytest
from hypothesis import given
from hypothesis import strategies as st

from posteriori.likelihoods import (
    GaussianNoise,
    PoissonGaussianNoise,
    PoissonNoise,
    QuantisationNoise,
    SaltAndPepperNoise,
    SpeckleNoise,
)
from posteriori.settings.noise import describe_noise, format_noise, parse_noise, read_noise
from posteriori.settings.text import format_spec


@pytest.mark.parametrize(
    ("text", "sigma"),
    [
        ("0.05", 0.05),
        (" 5e-2 ", 0.05),
        ("0", 0.0),
        ("10", 10.0),
        ("25/255", 2 * 25 / 255),
        ("12.75 / 255", 0.1),
        ("0/255", 0.0),
        ("1/1", 2.0),
        ("6553.5/65535", 0.2),
    ],
)
def test_a_number_is_on_the_images_scale_and_a_fraction_of_the_pictures_range(text, sigma):
    assert parse_noise(text) == pytest.approx(sigma, abs=1e-15)


@pytest.mark.parametrize(
    "text",
    ["", "x", "-0.05", "-1/255", "1/-255", "1/0", "nan", "inf", "1e999", "10.1", "25", "1e999/1", "1/2/3", "0.05 dB"],
)
def test_anything_else_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match=r"\Anoise is .*give sigma on the \[-1, 1\] scale, 0 to 10.*25/255\Z") as error:
        parse_noise(text)
    assert repr(text) in str(error.value)


@given(st.text() | st.text("0123456789./e+- "))
def test_any_text_is_a_level_or_one_line(text):
    try:
        assert 0 <= parse_noise(text) <= 10
    except ValueError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


def test_both_forms_are_shown():
    assert format_noise(parse_noise("0.05")) == "0.05 on [-1, 1], 6.375/255 of the picture's range"
    assert format_noise(parse_noise("25/255")) == "0.1961 on [-1, 1], 25/255 of the picture's range"


@pytest.mark.parametrize(
    ("text", "noise"),
    [
        ("0.05", GaussianNoise(0.05)),
        ("10/255", GaussianNoise(20 / 255)),
        ("gaussian(sigma=0.1)", GaussianNoise(0.1)),
        (" poisson(peak=30) ", PoissonNoise(30.0)),
        ("poisson-gaussian(peak=30, sigma=0.02)", PoissonGaussianNoise(30.0, 0.02)),
        ("speckle(looks=10)", SpeckleNoise(10.0)),
        ("salt-and-pepper(share=0.1)", SaltAndPepperNoise(0.1, 0.05)),
        ("quantisation(bits=4)", QuantisationNoise(4)),
    ],
)
def test_a_model_has_its_parameters(text, noise):
    assert read_noise(text) == noise
    assert read_noise(format_spec(noise)) == noise


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("poison(peak=30)", r"no noise is called 'poison': there are poisson, "),
        (
            "poisson",
            r"poisson has no default: give poisson\(peak=VALUE, a number, mean count where A\(x\) is white\)",
        ),
        ("poisson(peak=0)", "peak is 0.0: give a finite number above 0"),
        ("poisson(peak=30", r"this \( is never closed"),
        ("poisson(sigma=1)", "poisson has no field 'sigma': it has peak"),
        ("gaussian(sigma=25)", r"sigma is 25: give one on the \[-1, 1\] scale, 0 to 10"),
        ("25", r"noise is '25': give sigma"),
        ("nan", r"noise is 'nan': give sigma"),
        ("0.05 dB", r"noise is '0.05 dB': give sigma"),
    ],
)
def test_what_is_no_noise_is_refused_in_one_line(text, message):
    with pytest.raises(ValueError, match=f"^{message}") as error:
        read_noise(text)
    assert len(str(error.value).splitlines()) == 1


def test_what_is_printed_of_a_noise():
    assert describe_noise(GaussianNoise(0.05)) == "sigma 0.05 on [-1, 1], 6.375/255 of the picture's range"
    assert describe_noise(PoissonNoise(50.0)).startswith("poisson(peak=50.0): at middle grey, sigma 0.2 on [-1, 1]")
