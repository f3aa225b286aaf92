"""Lays out the faces that ``faces-64`` and ``faces-128`` are trained on: python training/real_faces.py DATA OUT.zip.

DATA holds ``faces-real-128.zip`` (CelebA, LFW), ``ffhq-64.zip`` and ``faces-128.zip`` (synthetic). Held out are every
53rd synthetic face, every 40th name of CelebA and FFHQ, and every 40th person of LFW. The first 16 of each but LFW are
called ``zz-...``, so that ``"holdout": "-46:"`` is them (FFHQ has 14); the others are left out.
An epoch has each CelebA and synthetic face once, a third of LFW, and FFHQ six times. ``--without ffhq`` is for 128
pixels, which FFHQ's 64 would blur; ``"holdout": "-32:"`` then.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

from posteriori.files import atomic_path
from posteriori.training.data import list_names, split_names

#: of every source: the archive, the folder in it, the slice of names that is held out, and the share of an epoch
SOURCES = (
    ("celeba", "faces-real-128.zip", "celeba/", "39::40", 1),
    ("lfw", "faces-real-128.zip", "lfw/", "39::40", 1 / 3),
    ("ffhq", "ffhq-64.zip", "", "39::40", 6),
    ("synthetic", "faces-128.zip", "", "52::53", 1),
)


def person(name: str) -> str:
    """Of ``lfw/Aaron_Eckhart_0001.webp``, ``lfw/Aaron_Eckhart``: pictures of one are held out together."""
    return name.rsplit("_", 1)[0]


def split(source: str, names: list[str], holdout: str) -> tuple[list[str], list[str]]:
    """(training, held-out) names of a source."""
    if source != "lfw":
        return split_names(names, holdout)
    people = set(split_names(sorted({person(name) for name in names}), holdout)[1])
    return [n for n in names if person(n) not in people], [n for n in names if person(n) in people]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", nargs="*", default=[], choices=[source for source, *_ in SOURCES])
    args = parser.parse_args()

    with atomic_path(args.out) as path, zipfile.ZipFile(path, "w") as out:
        for source, archive, folder, holdout, share in SOURCES:
            if source in args.without:
                continue
            names = [name for name in list_names(args.data / archive) if name.startswith(folder)]
            training, held_out = split(source, names, holdout)
            count = round(share * len(training))
            # evenly spread where there are fewer than all
            laid = [training[i % len(training) if share >= 1 else int(i / share)] for i in range(count)]
            kinds = [(f"{source}-{i // len(training)}", name) for i, name in enumerate(laid)]
            kinds += [(f"zz-{source}", name) for name in held_out[:16] if source != "lfw"]
            with zipfile.ZipFile(args.data / archive) as pictures:
                for kind, name in kinds:
                    out.writestr(f"{kind}-{name.replace('/', '-')}", pictures.read(name))
            print(f"{source}: {count} of {len(training)} faces, {len(held_out)} held out")


if __name__ == "__main__":
    main()
