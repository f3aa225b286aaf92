import pytest
from hypothesis import given
from hypothesis import strategies as st

from posteriori.settings.noise import format_noise, parse_noise


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
