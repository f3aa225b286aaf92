"""What the scripts in training/ lay out: held-out pictures are never among those trained on."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "training" / "real_faces.py"


def archive(path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "w") as out:
        for name in names:
            out.writestr(name, name)


def test_held_out_faces_and_persons_are_not_trained_on(tmp_path):
    celeba, ffhq = [f"celeba/{i:06}.webp" for i in range(120)], [f"{i:05}.png" for i in range(80)]
    lfw = [f"lfw/Person_{i:03}_{k:04}.webp" for i in range(90) for k in (1, 2, 3)]
    synthetic = [f"{i:05}.webp" for i in range(160)]
    archive(tmp_path / "faces-real-128.zip", celeba + lfw)
    archive(tmp_path / "ffhq-64.zip", ffhq)
    archive(tmp_path / "faces-128.zip", synthetic)
    out = tmp_path / "faces.zip"
    subprocess.run([sys.executable, SCRIPT, tmp_path, out], check=True)

    with zipfile.ZipFile(out) as laid:
        contents = {name: laid.read(name).decode() for name in laid.namelist()}
    trained = {content for name, content in contents.items() if not name.startswith("zz-")}
    held_out = {content for name, content in contents.items() if name.startswith("zz-")}
    assert held_out == {*celeba[39::40], *ffhq[39::40], *synthetic[52::53]}
    # names of FFHQ and the synthetic set differ by their suffix
    assert not trained & {*celeba[39::40], *ffhq[39::40], *synthetic[52::53]}
    people = {name.rsplit("_", 1)[0] for name in trained if name.startswith("lfw/")}
    assert not people & {"lfw/Person_039", "lfw/Person_079"}
    assert len(people) == 88
    assert {*ffhq} - held_out <= trained
    assert max(contents) == max(name for name in contents if name.startswith("zz-"))  # the last in order
