"""Evaluates the embedded priors on what their training left out, and writes the page of what was found.

    pip install bm3d
    python -m posteriori.studies.guide.priors --data DATA --out out/priors --page docs/priors.md

Faces: the last 64 held out. Photographs: the 20 held out; beside BM3D, which takes half a minute a photograph and noise
level, `studies/guide/photo.py` has them. A stopped evaluation goes on where it was.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from posteriori.files import atomic_path

FACES = "--images faces-128.zip --holdout 52::53 --skip 32"
EVALUATIONS = {
    "faces-64": f"{FACES} --bm3d",
    "faces-128": f"{FACES} --samples 32",
    "photo": "--images bsds500-train --holdout 19::20",
}
INTRODUCTION = """# How good are the embedded priors?

Every section names the command that wrote it, run in a folder with the pictures. `studies/guide/priors.py` runs them
all. The model cards say how each prior was trained: [faces-64](../src/posteriori/hub/weights/faces-64/README.md),
[faces-128](../src/posteriori/hub/weights/faces-128/README.md),
[photo](../src/posteriori/hub/weights/photo/README.md).

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds faces-128.zip and bsds500-train")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path, required=True)
    args = parser.parse_args()
    posteriori = Path(sys.executable).with_name("posteriori")
    sections = []
    for name, options in EVALUATIONS.items():
        out = (args.out / name).resolve()
        command = [posteriori, "priors", "evaluate", name, *options.split(), "--out", out]
        subprocess.run(command, cwd=args.data, check=True)  # there, so that the commands on the page name no folder
        sections.append((out / "evaluation.md").read_text("utf-8"))
    with atomic_path(args.page) as path:
        path.write_text(INTRODUCTION + "\n".join(sections), "utf-8")


if __name__ == "__main__":
    main()
