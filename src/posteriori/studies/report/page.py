"""The report as files: tables as CSV, figures, report.md, and one self-contained HTML page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from posteriori.files import write_json
from posteriori.studies.page import Page, Plot, Section, write_page
from posteriori.studies.report import tables
from posteriori.studies.report.experiment import Reproduction
from posteriori.studies.report.figures import draw
from posteriori.studies.report.findings import findings
from posteriori.studies.table import Table, write_csv
from posteriori.studies.wording import counted

PAGE, TEXT = "index.html", "report.md"
TITLE = "The report, repeated"


def write(done: Reproduction, out: Path, *, command: Sequence[str] | None = None) -> Path:
    """Writes everything into ``out``, and returns the path of the page."""
    text = shlex.join(["posteriori", *(sys.argv[1:] if command is None else command)])
    csv = {
        "table-1": tables.table_1(done),
        "dps-less-scoreald": tables.differences(done),
        "ablation": tables.ablation(done),
        "fewer-steps": tables.ladder(done),
        "sensitivity": tables.sensitivity(done),
    }
    (out / "tables").mkdir(exist_ok=True)
    plain = {
        "ablation-search": tables.search(done),
        "gradients": tables.gradients(done),
        "timings": tables.timings(done),
    }
    for name, rows in ({name: rows for name, (rows, _) in csv.items()} | plain).items():
        write_csv(rows, out / "tables" / f"{name}.csv")
    pictures = draw(done, out / "figures")
    sections = _sections(done, {name: table for name, (_, table) in csv.items()}, pictures)
    runs = [run for _, run in sorted(done.campaign.done.items())]
    write_json(done.campaign.runs.manifests(runs), out / "manifests.json")
    write_page(Page(TITLE, _lead(done), text, sections), out, html=PAGE, markdown=TEXT)
    return out / PAGE


def _lead(done: Reproduction) -> list[str]:
    prior, tuning = done.campaign, ", ".join(done.tuning.labels[:8])
    height, width = prior.prior.shape[1:]
    box, blur = (on.task.label for on in done.tasks)
    return [
        'The report is "Diffusion Models for Solving Inverse Problems". It compares SDEdit, ScoreALD and DPS. This '
        "page repeats its experiments, and checks its claims.",
        f"Prior {prior.name} (weights of sha256 {prior.record['sha256'][:16]}) at {width} x {height} pixels, "
        f"{done.scope.steps} steps unless stated otherwise, noise sigma 0.05 on [-1, 1]. Tasks: {box}; {blur}.",
        f"Results are for {len(done.split.reported)} pictures: {done.split.about}. Table 1 uses the presets. Other "
        f"settings were tuned here on {len(done.tuning)} other pictures "
        f"({tuning}{', ...' if len(done.tuning) > 8 else ''}). Intervals are 95% bootstrap intervals over pictures, "
        f"with {counted(len(done.seeds), 'seed')} each. The pictures shown are the first ones, not "
        "selected.",
    ]


def _sections(done: Reproduction, found: dict[str, Table], pictures: dict[str, Plot]) -> list[Section]:
    shown = lambda *names: [pictures[name] for name in names]  # noqa: E731
    names = [on.task.name for on in done.tasks]
    return [
        Section("Which claims hold?", findings=findings(done)),
        Section("Results", tables=[found["table-1"], found["dps-less-scoreald"]], pictures=shown("metrics")),
        Section(
            "Pictures",
            pictures=shown(
                "forward-process", "denoising", "unconditional", "sdedit-inpainting", "scoreald-deconvolution",
                "dps-deconvolution", "eyes", *(f"all-{name}" for name in names),
            ),
        ),
        Section(
            "The gradient and its scaling",
            [
                "g is the gradient of |r| = |y - A(x0hat)| with respect to x_t. ScoreALD steps along lambda_t g, DPS "
                "along s g / |g|. The ablation isolates the scaling. It compares four scalings on the same noise, "
                "each tuned with the same number of runs on the tuning pictures."
            ],
            tables=[found["ablation"]],
            pictures=shown("gradient", "step-length", "along-the-path", "tuning"),
        ),
        Section(
            "Sensitivity",
            tables=[found["sensitivity"]],
            pictures=shown(*(f"endpoints-{name}" for name in names), "t-start"),
        ),
        Section("How many steps are needed?", tables=[found["fewer-steps"]], pictures=shown("fewer-steps")),
    ]  # fmt: skip
