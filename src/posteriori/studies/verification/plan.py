"""What is verified: the problems, their seeds, and the cells that follow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from posteriori.errors import PosterioriError
from posteriori.sampler import Sampler
from posteriori.settings.text import format_spec
from posteriori.studies.verification.cells import EXACT, Cell, Record
from posteriori.studies.verification.grid import Grid
from posteriori.studies.verification.pictures import PowerLawPictures
from posteriori.studies.verification.problem import Problem
from posteriori.studies.verification.settings import configured


@dataclass(frozen=True)
class Scope:
    """Problems with their number of seeds; ``steps`` of every sampler; ``pictured`` is drawn in two dimensions.

    ``left_out`` names what was planned and not run.
    """

    problems: tuple[tuple[Problem, int], ...]
    steps: tuple[int, ...]
    pictured: Grid
    left_out: tuple[str, ...] = ()

    def up_to(self, d: int) -> Scope:
        """Without the grids of more than ``d`` dimensions."""
        return self.without({p for p, _ in self.problems if isinstance(p, Grid) and p.d > d})

    def without(self, problems: Collection[Problem]) -> Scope:
        """Without ``problems``. Raises PosterioriError if ``pictured`` is then missing, which every page needs."""
        kept = tuple((p, seeds) for p, seeds in self.problems if p not in problems)
        if self.pictured not in dict(kept):
            raise PosterioriError(f"{self.pictured.name} is not done, and the page begins with it: run it first")
        names = tuple(p.name for p, _ in self.problems if p in problems)
        return replace(self, problems=kept, left_out=self.left_out + names)

    @property
    def dimensions(self) -> list[int]:
        """The dimensions of its grids."""
        return sorted({problem.d for problem, _ in self.problems if isinstance(problem, Grid)})


def _pictures(side: int, hole: int, pairs: int) -> list[PowerLawPictures]:
    operators = (f"box-mask(size={hole})", "gaussian-blur(sigma=1.0, size=7)", "downsample(factor=2)")
    return [PowerLawPictures(n=39, operator=operator, side=side, pairs=pairs) for operator in operators]


FULL = Scope(
    (
        *((Grid(n=2000, d=d, d_y=d_y), seeds) for d, seeds in ((8, 20), (80, 20), (800, 5)) for d_y in (1, 2, 4)),
        *((problem, 10) for problem in _pictures(16, hole=6, pairs=30)),
    ),
    (100, 20),
    Grid(n=2000, d=8, d_y=1),
)
QUICK = Scope(
    ((Grid(n=500, d=8, d_y=1), 10), *((problem, 10) for problem in _pictures(8, hole=3, pairs=5))),
    (20,),
    Grid(n=500, d=8, d_y=1),
)


def cells(scope: Scope, samplers: Sequence[type[Sampler]], seed: int) -> list[Cell]:
    """The floors and every sampler on every problem. Cells of one seed are together, since its problem is cached."""
    found = []
    for problem, seeds in scope.problems:
        texts = [
            (cls.name, steps, format_spec(configured(cls, problem.family, steps)))
            for steps in scope.steps
            for cls in samplers
        ]
        for own in range(seed, seed + seeds):
            points = problem == scope.pictured and own == seed
            found += [Cell(problem, *method, own, points) for method in [(EXACT, 0, EXACT), *texts]]
    return found


def what_is_done(
    scope: Scope, planned: Sequence[Cell], records: Mapping[Cell, Record]
) -> tuple[Scope, dict[Cell, Record]]:
    """The part of ``scope`` that ``records`` cover, and the records that belong to it.

    A sampler counts on a problem if it and the floor are done at all seeds. Problems and steps count if a sampler
    counts on them.
    """
    parts: dict[tuple[Problem, str, int], list[Cell]] = {}
    for cell in planned:
        parts.setdefault((cell.problem, cell.method, cell.steps), []).append(cell)
    whole = {part for part, own in parts.items() if all(cell in records for cell in own)}
    ran = {(problem, steps) for problem, method, steps in whole if method != EXACT and (problem, EXACT, 0) in whole}
    kept = {problem for problem, _ in ran}
    lacking: dict[tuple[Problem, int], list[str]] = {}
    for problem, method, steps in parts:
        if problem in kept and (problem, method, steps) not in whole:
            lacking.setdefault((problem, steps), []).append(method)
    together: dict[str, list[str]] = {}
    for (problem, steps), methods in lacking.items():
        together.setdefault(f"{', '.join(methods)} in {steps} steps", []).append(problem.name)
    names = tuple(f"{methods} on {', '.join(problems)}" for methods, problems in together.items())
    left = scope.without({problem for problem, _ in scope.problems} - kept)
    found = {cell: records[cell] for part, own in parts.items() if part[0] in kept and part in whole for cell in own}
    steps = tuple(n for n in scope.steps if n in {own for _, own in ran})
    return replace(left, steps=steps, left_out=left.left_out + names), found
