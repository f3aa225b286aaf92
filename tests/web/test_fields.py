"""The fields of dataclasses as components, and the text that their values make."""

import pytest

gradio = pytest.importorskip("gradio", reason="the page needs gradio: pip install 'posteriori[web]'")

from posteriori.errors import PosterioriError  # noqa: E402
from posteriori.likelihoods import NOISES  # noqa: E402
from posteriori.operators import OPERATORS  # noqa: E402
from posteriori.samplers import SAMPLERS  # noqa: E402
from posteriori.settings.text import parse_noise_model, read_operator, read_sampler  # noqa: E402
from posteriori.web.fields import choices, component, given, kind_of, offered, text_fields, text_of  # noqa: E402

READ = {
    **{name: (cls, lambda text: read_sampler(text).fields) for name, cls in offered(SAMPLERS).items()},
    **{name: (cls, lambda text: read_operator(text).parts[0].fields) for name, cls in offered(OPERATORS).items()},
}


@pytest.mark.parametrize("name", READ)
def test_every_field_has_a_component_and_what_it_says_is_read_as_that(name):
    cls, read = READ[name]
    values = {}
    for field in text_fields(cls):
        assert component(field, "place").label
        words = choices(field.type)
        values[field.name] = words[-1] if words else " 1 "
    assert read(text_of(cls, {})) == {}
    text = text_of(cls, values)
    found = read(text)
    assert found.keys() == values.keys()
    for field in text_fields(cls):
        value = given(field, values[field.name])
        assert getattr(getattr(found[field.name], "cls", None), "name", found[field.name]) == value


@pytest.mark.parametrize("cls", NOISES)
def test_noise_is_read_as_it_is_given(cls):
    values = {field.name: "1" if kind_of(field.type) is int else "0.5" for field in text_fields(cls)}
    assert type(parse_noise_model(text_of(cls, values))) is cls


@pytest.mark.parametrize("value", ["my.py:Mine", "../my.py:Mine", "1, base=my.py:Mine", "nan", "1e400", "/etc/passwd"])
def test_no_file_can_be_named_in_a_field(value):
    for cls in (*offered(SAMPLERS).values(), *offered(OPERATORS).values(), *NOISES):
        for field in text_fields(cls):
            with pytest.raises(PosterioriError):
                text_of(cls, {field.name: value})
