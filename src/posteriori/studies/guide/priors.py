"""Evaluates the embedded priors on pictures that were held out of their training, and writes docs/priors.md's sections.

    pip install bm3d
    python -m posteriori.studies.guide.priors --data DATA --out out/priors --page docs/priors.md

Faces: the last 64 held out. Photographs: the 20 held out; `studies/guide/photo.py` compares them with BM3D. A stopped
evaluation resumes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from posteriori.studies.page import fill_marks

FACES = "--images faces-128.zip --holdout 52::53 --skip 32"
EVALUATIONS = {
    "faces-64": f"{FACES} --bm3d",
    "faces-128": f"{FACES} --samples 32",
    "photo": "--images bsds500-train --holdout 19::20",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds faces-128.zip and bsds500-train")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path, required=True)
    args = parser.parse_args()
    posteriori = Path(sys.executable).with_name("posteriori")
    sections = {}
    for name, options in EVALUATIONS.items():
        out = (args.out / name).resolve()
        command = [posteriori, "priors", "evaluate", name, *options.split(), "--out", out]
        subprocess.run(command, cwd=args.data, check=True)  # there, so that the commands on the page name no folder
        sections[name] = (out / "evaluation.md").read_text("utf-8")
    fill_marks(args.page, sections)


if __name__ == "__main__":
    main()
