"""Measures the cost of Ray on this machine: ``python -m posteriori.studies.scale --measure WHAT... --out out/scale``.

``measure.py`` says what is measured. ``--page docs/scale.md`` writes the page's figures from all that ``--out`` has.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from posteriori.files import read_json, write_json
from posteriori.studies.page import fill_marks
from posteriori.studies.scale.measure import MEASURES
from posteriori.studies.scale.plan import sections


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="+", choices=MEASURES, default=[])
    parser.add_argument("--out", type=Path, default=Path("out/scale"))
    parser.add_argument("--page", type=Path)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    file = asked.out / "scale.json"
    found = read_json(file) if file.is_file() else {}
    for what in asked.measure:
        found[what] = MEASURES[what]()
        write_json(found, file)
        print(what, found[what])
    if asked.page:
        fill_marks(asked.page, sections(found))


if __name__ == "__main__":
    main()
