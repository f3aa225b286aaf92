"""Suites: TOML that people write."""

from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import strategies as st

from posteriori.studies.suite.suite import read
from tests.fuzz.contract import contract, damaged, fuzz

SMOKE = resources.files("posteriori.studies.suite").joinpath("suites", "smoke.toml").read_bytes()
_VALUES = (
    *(
        '""',
        '"x"',
        '"nan"',
        '"1/0"',
        '"{13}"',
        '"{1e9}"',
        '"{.}"',
        '"dps(scale=1)"',
        '"box-mask(size={13})"',
        '"\\u001b"',
    ),
    *("0", "-1", "1", "99999999999999999999", "1e400", "nan", "true", "[]", "[1]", '["box"]', "{}", "{ a = 1 }"),
    *('"\\u001b"', "1979-05-27", "'''", "0x10"),
)
_KEYS = ("x", "name", "tasks", "best_of", "on", "size", "task", "published")


@st.composite
def edited(draw) -> bytes:
    """A suite some of whose lines have another value, are missing, or stand twice."""
    lines = SMOKE.decode().splitlines()
    for _ in range(draw(st.integers(1, 3))):
        i = draw(st.integers(0, len(lines) - 1))
        key, equals, _ = lines[i].partition(" = ")
        change = draw(st.sampled_from(["value", "value", "value", "drop", "twice", "key"]))
        if change == "value" and equals:
            lines[i] = f"{key} = {draw(st.sampled_from(_VALUES))}"
        elif change == "key":
            lines[i] = f"{draw(st.sampled_from(_KEYS))} = {draw(st.sampled_from(_VALUES))}"
        elif change == "twice":
            lines.insert(i, lines[i])
        else:
            lines[i] = ""
    return "\n".join(lines).encode()


@fuzz(data=st.one_of(edited(), damaged([SMOKE], first=len(SMOKE))))
def test_suites(data):
    with TemporaryDirectory() as folder, contract():
        path = Path(folder, "mine.toml")
        path.write_bytes(data)
        suite = read(str(path))
        for task in suite.tasks:
            suite.operator(task, (3, 64, 64))


def test_the_suite_in_question_is_read(tmp_path):
    (tmp_path / "mine.toml").write_bytes(SMOKE)
    assert read(str(tmp_path / "mine.toml")).name == "mine"
