"""A suite's clean pictures, read on demand, so that thousands of them need not be in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.images.files import load_image
from posteriori.images.picture import BUNDLED
from posteriori.studies.engine.plan import pixel_hash
from posteriori.studies.pictures import decoded
from posteriori.training.data import DAMAGED, list_names, picture_sizes


class TooSmall(PosterioriError):
    pass


@dataclass(frozen=True)
class Place:
    """Where a picture is: a file or bundled name, or ``member`` of a folder or zip."""

    source: str
    member: str = ""

    @property
    def label(self) -> str:
        return self.member or Path(self.source).stem

    def check(self, size: int) -> None:
        """Raises PosterioriError if a picture of a folder or zip is smaller than ``size``."""
        if self.member:
            width, height = picture_sizes(Path(self.source), [self.member])[0]
            if min(width, height) < size:
                raise TooSmall(
                    f"{self.source}/{self.member} is {width} x {height}, the prior's pictures are {size} x {size}: "
                    "give pictures of at least that size, or a prior for smaller pictures"
                )

    def read(self, size: int) -> Tensor:
        """(3, size, size) on [-1, 1]."""
        if self.member:
            return decoded(Path(self.source), [self.member], size)[0]
        return load_image(self.source, size=size)[0]


@dataclass(frozen=True)
class Shelf(Mapping[str, Tensor]):
    """Pictures of ``size`` pixels a side by the sha256 of their pixels: (3, size, size) on [-1, 1].

    Each process reads the pictures that it needs, so it must be able to reach their files. Raises PosterioriError if a
    picture has changed since the shelf was filled.
    """

    size: int
    places: Mapping[str, Place]

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        return tuple((place.label, key) for key, place in self.places.items())

    def __getitem__(self, key: str) -> Tensor:
        place = self.places[key]
        x = place.read(self.size)
        if pixel_hash(x) != key:
            raise PosterioriError(f"{place.label} has changed since it was first read: start again in another --out")
        return x

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def filled(sources: Sequence[str], size: int, n: int, say: Callable[[str], object] = lambda _: None) -> Shelf:
    """The first ``n`` distinct pictures of ``sources``: folders, zips, files or bundled names.

    Up to 5% of them may be damaged: ``say`` is told about each that is left out. Raises PosterioriError if more are, if
    none is given, or if a folder's pictures are smaller than ``size``.
    """
    if not sources:
        raise PosterioriError(f"there are no pictures: give a folder, a zip, files, or {', '.join(BUNDLED)}")
    places: dict[str, Place] = {}
    damaged: list[str] = []
    for place in (place for source in sources for place in _places(source)):
        if len(places) == n:
            break
        try:
            place.check(size)
            places.setdefault(pixel_hash(place.read(size)), place)
        except TooSmall:
            raise
        except PosterioriError as error:
            damaged.append(str(error))
            say(f"left out: {error}")
    if not places or len(damaged) > max(1, DAMAGED * (len(places) + len(damaged))):
        raise PosterioriError(f"{len(damaged)} of {len(places) + len(damaged)} pictures are damaged: {damaged[0]}")
    return Shelf(size, places)


def _places(source: str) -> list[Place]:
    path = Path(source)
    if path.is_dir() or path.suffix == ".zip":
        return [Place(str(path.absolute()), name) for name in list_names(path)]
    return [Place(source if source in BUNDLED else str(path.absolute()))]
