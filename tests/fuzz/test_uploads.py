"""What people give the page: files under any name, values of any field, paintings; and zips of pictures to train on."""

import io
import json
import os
import zipfile
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from posteriori.operators import OPERATORS
from posteriori.samplers import SAMPLERS
from posteriori.settings.text import parse_operator, read_sampler
from posteriori.training.data import list_names, load_images
from tests.fuzz.contract import contract, damaged, fuzz
from tests.fuzz.test_arrays import NPY
from tests.fuzz.test_pictures import COLOURS, PILLOW, saved, seeds

pytest.importorskip("gradio", reason="gradio is not installed: posteriori[web] has it")

from posteriori.web.desk import Session
from posteriori.web.fields import text_fields, text_of
from posteriori.web.form import _mask
from posteriori.web.tasks import LOOKED, PREVIEW, Look

LARGE = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)), "PNG")
#: of names, what file systems take: texts, and bytes that are none
_NAMES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="/\x00"), min_size=1, max_size=40),
    st.binary(min_size=1, max_size=40).map(lambda name: os.fsdecode(name.translate(None, b"/\0")) + "x"),
).filter(lambda name: name not in (".", ".."))


@fuzz(data=st.data(), stem=st.one_of(_NAMES, st.sampled_from(["astronaut", "-", "--out", "CON", ".hidden", "a\nb"])))
def test_uploads(data, stem):
    ending = data.draw(st.sampled_from([*PILLOW, ".npy", ".dcm", ""]))
    sound = [LARGE, *NPY] if ending in (".npy", "") else [*seeds()[ending], LARGE]
    name = os.fsdecode(os.fsencode(stem + ending)[:200])
    with TemporaryDirectory() as folder:
        session, upload = Session(Path(folder)), Path(folder, name)
        upload.write_bytes(data.draw(damaged(sound, first=200)))
        session.take(upload)
        work = session.working_folder()
        with contract(), chdir(work):
            Look(str(work), session.picture, 10**6).do(lambda *_: None)
            looked = json.loads(Path(LOOKED).read_text())
            assert looked["size"] is None or os.path.getsize(PREVIEW) > 0


values = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.floats(),
    st.integers(),
    st.sampled_from(["/etc/passwd", "a.npy", "my.py:A", "ddim), dps(", "1e400", "1" * 5000, "nan", True, []]),
)


@fuzz(data=st.data())
def test_fields(data):
    cls = data.draw(st.sampled_from([*OPERATORS, *SAMPLERS]))
    given = {field.name: data.draw(values) for field in text_fields(cls)}
    with contract():
        text = text_of(cls, given)
        assert "/etc" not in text
        assert ".py" not in text
        read_sampler(text) if cls in SAMPLERS else parse_operator(text, (3, 32, 32))


@fuzz(
    sides=st.lists(st.integers(1, 40), min_size=2, max_size=2),
    size=st.sampled_from([None, [9, 12], [1, 1]]),
    n=st.integers(0, 2),
)
def test_paintings(sides, size, n):
    with contract():
        layers = [Image.new("RGBA", (sides[0], sides[1]), (255, 0, 0, 255 * (i % 2))) for i in range(n)]
        painted = _mask({"layers": layers}, size)
        assert Image.open(io.BytesIO(painted)).size == (size[1], size[0])


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in ("a.png", "b/c.png", "__MACOSX/._a.png", "text.txt"):
            packed.writestr(name, saved(COLOURS, "PNG"))
    return file.getvalue()


@fuzz(data=damaged([archive()], first=3000))
def test_archives_of_pictures(data):
    with TemporaryDirectory() as folder, contract():
        path = Path(folder, "a.zip")
        path.write_bytes(data)
        assert len(load_images(path, list_names(path), 8, tolerant=True)) > 0
