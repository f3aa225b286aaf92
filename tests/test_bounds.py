from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le

from posteriori.bounds import check


@dataclass(frozen=True)
class Bounded:
    scale: Annotated[float, Ge(0), "a length"] = 1.0
    sigma: Annotated[float, Gt(0)] = 1.0
    eta: Annotated[float, Ge(0), Le(1)] = 1.0
    share: Annotated[float, Gt(0), Le(1)] = 1.0
    steps: Annotated[int, Ge(1)] = 1
    size: Annotated[int | None, "side", Ge(1), Le(8)] = None
    kind: Literal["a", "b"] = "a"
    free: float = 0.0
    meant: Annotated[float, "anything"] = 0.0

    def __post_init__(self):
        check(self)


@pytest.mark.parametrize(
    "fields",
    [{"scale": 0}, {"sigma": 1e-9}, {"eta": 1}, {"share": 1.0}, {"steps": 1}, {"size": 8}, {"size": None},
     {"kind": "b"}, {"free": float("nan")}, {"meant": -1.0}],
)  # fmt: skip
def test_what_is_within(fields):
    Bounded(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": -1}, "scale is -1: give a finite number from 0 up"),
        ({"scale": float("nan")}, "scale is nan: give a finite number from 0 up"),
        ({"scale": float("inf")}, "scale is inf: give a finite number from 0 up"),
        ({"sigma": 0.0}, "sigma is 0.0: give a finite number above 0"),
        ({"eta": 1.5}, "eta is 1.5: give a finite number from 0 up to 1"),
        ({"share": 0}, "share is 0: give a finite number above 0 up to 1"),
        ({"steps": 0}, "steps is 0: give at least 1"),
        ({"size": 9}, "size is 9: give a whole number from 1 up to 8, or none"),
        ({"steps": None}, "steps is None: give at least 1"),
        ({"kind": "c"}, "kind is 'c': give one of a, b"),
        ({"scale": -1, "steps": 0}, "scale is -1: give a finite number from 0 up"),
    ],
)
def test_what_is_not_is_told_in_one_line(fields, message):
    with pytest.raises(ValueError, match=r"\A.+\Z") as error:
        Bounded(**fields)
    assert str(error.value) == message
