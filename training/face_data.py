"""The training set of faces-64 and faces-128: the faces, and photographs' squares after them by name.

python training/face_data.py --faces faces-128.zip --photos bsds500-train --out faces-and-photos.zip

The photographs come after the faces, so that ``sorted(names)[52::53]`` holds out the faces that it always did.
Photographs held out of the photo prior, ``sorted(names)[19::20]``, are left out. Of each other: its centre square
and ``--crops`` random squares of 128 to 320 pixels, all reduced to 128 pixels.
"""

from __future__ import annotations

import argparse
import io
import random
import zipfile
from pathlib import Path

from PIL import Image

from posteriori.files import atomic_path
from posteriori.training.data import list_names, split_names

SIDE = 128


def squares(picture: Image.Image, crops: int, rng: random.Random) -> list[Image.Image]:
    """The centre square and ``crops`` random ones, at ``SIDE`` pixels."""
    short = min(picture.size)
    boxes = [((picture.width - short) / 2, (picture.height - short) / 2, short)]
    for _ in range(crops):
        side = rng.randint(SIDE, short)
        boxes.append((rng.randint(0, picture.width - side), rng.randint(0, picture.height - side), side))
    return [
        picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
        for left, top, side in boxes
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="zip of the faces")
    parser.add_argument("--photos", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--crops", type=int, default=2, help="random squares of each photograph")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    rng = random.Random(args.seed)
    photos, _ = split_names(list_names(args.photos), "19::20")
    with atomic_path(args.out) as path, zipfile.ZipFile(path, "w") as out, zipfile.ZipFile(args.faces) as faces:
        for name in list_names(args.faces):
            out.writestr(f"faces/{name}", faces.read(name))
        for name in photos:
            with Image.open(args.photos / name) as picture:
                for i, square in enumerate(squares(picture.convert("RGB"), args.crops, rng)):
                    data = io.BytesIO()
                    square.save(data, "PNG")
                    out.writestr(f"photos/{Path(name).stem}-{i}.png", data.getvalue())


if __name__ == "__main__":
    main()
