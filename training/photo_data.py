"""Lays out the photographs that the prior ``photo`` is trained on: python training/photo_data.py DATA OUT.

DATA holds ``bsds500-train/`` and ``photos.zip``. Of every folder each 20th (BSDS500) or 40th picture is held out: those
are called ``zz-...``, so that ``"holdout": "-43:"`` is them and nothing else. Pictures of BSDS500 come twice, since it
is the measure. Photographs of up to 1,280 pixels are cut into pieces, and come once more at half their size.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

from PIL import Image

PIECE = 426


def main(data: Path, out: Path) -> None:
    out.mkdir(parents=True)
    held_out = 0
    bsds = sorted(path.name for path in (data / "bsds500-train").iterdir())
    for i, name in enumerate(bsds):
        content = (data / "bsds500-train" / name).read_bytes()
        if i % 20 == 19:
            held_out += 1
            (out / f"zz-bsds-{name}").write_bytes(content)
        else:
            for copy in "ab":
                (out / f"bsds-{copy}-{name}").write_bytes(content)
    with zipfile.ZipFile(data / "photos.zip") as archive:
        for folder in ("imagenet", "mixed", "open"):
            names = sorted(n for n in archive.namelist() if n.startswith(f"{folder}/") and not n.endswith("/"))
            for i, name in enumerate(names):
                flat = name.replace("/", "-")
                if i % 40 == 39:
                    held_out += 1
                    (out / f"zz-{flat}").write_bytes(archive.read(name))
                elif folder == "imagenet":
                    (out / flat).write_bytes(archive.read(name))
                else:
                    _pieces(Image.open(io.BytesIO(archive.read(name))).convert("RGB"), out, Path(flat).stem)
    print(f"{len(list(out.iterdir()))} files, {held_out} of them held out")


def _pieces(picture: Image.Image, out: Path, stem: str) -> None:
    columns, rows = (max(1, round(side / PIECE)) for side in picture.size)
    for c in range(columns):
        for r in range(rows):
            box = (
                picture.width * c // columns,
                picture.height * r // rows,
                picture.width * (c + 1) // columns,
                picture.height * (r + 1) // rows,
            )
            picture.crop(box).save(out / f"{stem}-{c}{r}.png")
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    half.save(out / f"{stem}-half.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
