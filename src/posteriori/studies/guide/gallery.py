"""Eight pictures degraded by other programs, restored by one command each, and the page that shows them.

    python -m posteriori.studies.guide.gallery --data DATA --out out/gallery --page docs/gallery.md

Needs ImageMagick's `convert`, and the extra `bench`: two of the pictures are scikit-image's. Pictures in OUT are not
degraded or restored again. Sheets of parts before and after, at 100%, go into a folder beside the page, of its name.
Real photographs in DATA/real, which are not ours to show, are restored too; the page has only the results.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from posteriori.images.files import load_image, read_bytes, to_tensor
from posteriori.images.picture import BUNDLED
from posteriori.metrics import psnr
from posteriori.studies.guide.damage import by, high_iso, moved, rgb, scratched, written_over

#: side of a part, in pixels
SIDE = 300

Name = Literal["astronaut.png", "camera.png", "chelsea", "coffee"]


@dataclass(frozen=True)
class Piece:
    """A picture of the gallery: how it is degraded, what restores it, and which parts are shown.

    ``parts`` are (left, top) in the degraded picture, ``side`` their side. ``words`` describe the result. It is not
    ``scored`` if more was changed than the command restores.
    """

    title: str
    picture: Name
    how: str
    degrade: Callable[[Path, Path], None]
    file: str
    command: str
    parts: tuple[tuple[int, int], ...]
    words: str
    side: int = SIDE
    scored: bool = True


PIECES = (
    Piece(
        "A photograph at a high ISO",
        "coffee",
        "shot and read noise behind a Bayer mosaic, interpolated, smoothed as cameras do, and JPEG of quality 92",
        high_iso,
        "iso.jpg",
        "posteriori denoise iso.jpg",
        ((110, 60),),
        "The noise is gone, and the edges of cup and spoon are intact. The grain of the wood is softer, and a "
        "few specks stay on the saucer. A photographer would take it.",
    ),
    Piece(
        "A blurred photograph",
        "astronaut.png",
        "`convert -blur 0x2 -quality 92`",
        by("-blur", "0x2", "-quality", "92"),
        "blurred.jpg",
        "posteriori restore blurred.jpg",
        ((100, 20),),
        "The blur was estimated at 1.7 pixels; it is 2. Eyes, teeth and hair are back, without halos. A "
        "photographer would take it.",
    ),
    Piece(
        "A photograph compressed too much",
        "chelsea",
        "`convert -quality 15`",
        by("-quality", "15"),
        "compressed.jpg",
        "posteriori restore compressed.jpg",
        ((60, 0),),
        "The blocks, their false colours and the rings along the whiskers are gone. The fur is softer than in "
        "the original: what JPEG removed does not come back. A photographer would take it for the web, but not for a "
        "print.",
    ),
    Piece(
        "A scan with scratches",
        "camera.png",
        "fourteen polylines and grain, drawn by ImageMagick",
        scratched,
        "scan.png",
        "posteriori restore scan.png",
        ((90, 30),),
        "The scratches were found and filled, and coat, fingers and grass continue across them. Everything else, "
        "grain included, is kept bit for bit. The dark scratch in the sky stays. One leg of the tripod looks "
        "like a scratch, and was filled too. A photographer would correct the mask, with that leg painted "
        "black, and take it.",
    ),
    Piece(
        "A photograph of too few pixels",
        "coffee",
        "`convert -resize 50% -quality 95`",
        by("-resize", "50%", "-quality", "95"),
        "small.jpg",
        "posteriori restore small.jpg --operator 'downsample(factor=2)' --noise auto",
        ((55, 30),),
        "The picture is twice the size, with sharper edges than by bicubic interpolation (left) and no rings. "
        "Texture that was lost stays lost. A photographer would take it.",
        150,
    ),
    Piece(
        "A faded print",
        "camera.png",
        "`convert -blur 0x0.7 +level 25%,70% -attenuate 0.4 +noise Gaussian`",
        by("-blur", "0x0.7", "+level", "25%,70%", "-attenuate", "0.4", "+noise", "Gaussian", "-colorspace", "Gray"),
        "faded.png",
        "posteriori restore faded.png",
        ((140, 40),),
        "The grain is gone, and the face and the towers are clear. The print stays faded: contrast is not "
        "restored, and can be stretched in an editor afterwards.",
        scored=False,
    ),
    Piece(
        "Text over a photograph",
        "coffee",
        "`convert -annotate`; strokes.png is red on a clear layer, wider than the letters",
        written_over,
        "text.png",
        "posteriori restore text.png --mask strokes.png",
        ((20, 100), (300, 0)),
        "The date is gone without a trace. Under the larger letters the wood is smooth, and the rim of the "
        "saucer is darker than in the original. A photographer would not take that corner.",
    ),
    Piece(
        "A shaken camera",
        "astronaut.png",
        "`convert -motion-blur 0x4+25 -quality 95`; kernel.png is what that makes of one white pixel",
        moved,
        "shaken.jpg",
        "posteriori restore shaken.jpg --operator 'blur(kernel=kernel.png)' --noise auto",
        ((100, 20),),
        "Eyes, hair and the letters on the rocket are back. Enlarged, faint ripples show beside the collar. A "
        "photographer would take it. The kernel was known here, which is rare.",
    ),
)


HEAD = """# Eight pictures, one command each

Each picture was degraded by another program, such as ImageMagick. posteriori knows no more about it than the command
says. The sheets show parts before and after, at 100%. `python -m posteriori.studies.guide.gallery` writes this page.
The pictures are free: coffee (Rachel Michetti), chelsea (Stéfan van der Walt) and camera (Lav Varshney) are CC0, and
astronaut (NASA) is in the public domain. All come with scikit-image.
"""

TAIL = """## Real photographs

These pictures are not ours to show. The table is of `posteriori denoise` without options on single shots. The truth is
the mean of many shots, and the figures are PSNR in dB:

| | the shot | denoised | least gain |
|---|---|---|---|
{rows}

`posteriori restore` without options was also run on three scanned prints (from Wan et al. 2020):

- A portrait in colour on grained paper. The grain, 8.4 of 255, was taken for texture and left: the picture is as
  before. A photographer would want some of it removed.
- A girl among daisies, an early colour plate. Its grain, 4.8 of 255, was taken for texture too. With the level that is
  printed, `--noise 4.8/255`, it is gone. The flowers and the face are intact then, and the dark leaves behind them are
  softer. A photographer would take it.
- A portrait with scratches. The long scratches were found and filled without a trace. Short ones, specks and the torn
  edge stay. A photographer would paint these into the mask and run it again.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds real/")
    parser.add_argument("--out", type=Path, default=Path("out/gallery"))
    parser.add_argument("--page", type=Path, required=True, help="the page to write; its sheets go beside it")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sections = [section(piece, args.out, args.page.with_suffix("")) for piece in PIECES]
    args.page.write_text("\n".join([HEAD, *sections, real(args.data.resolve() / "real", args.out)]))


def run(out: Path, *words: str) -> None:
    """Runs `posteriori` in ``out``, into ``out``/restored; results that are there stay."""
    command = [str(Path(sys.executable).with_name("posteriori")), *words]
    subprocess.run([*command, "--out", "restored", "--quiet"], check=True, cwd=out)


def section(piece: Piece, out: Path, sheets: Path) -> str:
    """Degrades and restores ``piece``, draws its sheet, and returns its part of the page."""
    clean, degraded = original(piece.picture, out), out / piece.file
    if not degraded.exists():
        piece.degrade(clean, degraded)
    stem = degraded.stem
    folder = out / "restored" / stem
    run(out, *shlex.split(piece.command)[1:])
    before, after = rgb(degraded), rgb(folder / "restored.png")
    scale = after.width // before.width
    rows = []
    for left, top in piece.parts:
        gap = np.full((scale * piece.side, 8, 3), 255)
        pair = [
            part(before, left, top, piece.side, scale),
            gap,
            part(after, scale * left, scale * top, scale * piece.side),
        ]
        rows += [np.concatenate(pair, 1), np.full((8, 2 * scale * piece.side + 8, 3), 255)]
    sheets.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows[:-1]).astype(np.uint8)).save(sheets / f"{stem}.webp", quality=90, method=6)
    score = ""
    if piece.scored:
        truth, size = load_image(clean), rgb(clean).size
        seen, found = (
            psnr(to_tensor(np.array(one.resize(size, Image.Resampling.BICUBIC))), truth).item()
            for one in (before, after)
        )
        score = f" From {seen:.1f} to {found:.1f} dB."
    return f"""## {piece.title}

```sh
{piece.command}
```

![{piece.title}, before and after]({sheets.name}/{stem}.webp)

{textwrap.fill(f"Degraded by {piece.how}.{score}", 120)}

{textwrap.fill(piece.words, 120)}
"""


def part(picture: Image.Image, left: int, top: int, side: int, scale: int = 1) -> np.ndarray:
    """A square of ``picture``, enlarged ``scale`` times."""
    cut = picture.crop((left, top, left + side, top + side))
    return np.asarray(cut.resize((scale * side, scale * side), Image.Resampling.BICUBIC))


def real(data: Path, out: Path) -> str:
    """Restores the photographs in ``data``: shots with the mean of many, and old prints. Returns the page's part."""
    shots = sorted((data / "noise").glob("*_real.*"))
    run(out, "denoise", *map(str, shots))
    gains = []
    for shot in shots:
        truth = load_image(shot.with_name(shot.name.replace("_real", "_mean")))
        seen, found = (
            psnr(load_image(path), truth).item() for path in (shot, out / "restored" / shot.stem / "restored.png")
        )
        gains.append((shot.name.split("-")[0], seen, found))
    rows = []
    for kind, name in (
        ("cc", "CC15, five of the pairs (Nam et al. 2016)"),
        ("polyu", "PolyU, ten of the pairs (Xu et al. 2018)"),
    ):
        own = [(seen, found) for which, seen, found in gains if which == kind]
        before, after = np.mean(own, 0)
        rows.append(f"| {name} | {before:.2f} | {after:.2f} | {min(found - seen for seen, found in own):+.2f} |")
    prints = sorted((data / "old").glob("*.png"))
    run(out, "restore", *map(str, prints))
    return TAIL.format(rows="\n".join(rows))


def original(name: Name, out: Path) -> Path:
    """The clean picture as a file."""
    path = out / f"{Path(name).stem}.png"
    if not path.exists():
        if name in BUNDLED:
            path.write_bytes(read_bytes(name))
        else:
            import skimage

            path.write_bytes((Path(skimage.__file__).parent / "data" / name).read_bytes())
    return path


if __name__ == "__main__":
    main()
