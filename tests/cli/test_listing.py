import json
import subprocess
import sys

import pytest

from posteriori.cli import main
from posteriori.operators import OPERATORS
from posteriori.samplers import SAMPLERS
from posteriori.settings.fields import about, class_fields
from posteriori.settings.text import parse_operator, parse_sampler

LISTS = [("samplers", SAMPLERS), ("operators", OPERATORS)]


@pytest.fixture
def show(monkeypatch, capsys):
    def run(*arguments, columns=80):
        monkeypatch.setattr("sys.argv", ["posteriori", *arguments])
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(("command", "classes"), LISTS)
def test_the_table_has_every_field_and_fits(show, command, classes, columns):
    lines = show(command, columns=columns).splitlines()
    assert max(map(len, lines)) <= columns
    names = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert names == [cls.name for cls in classes]
    text = "".join("".join(lines).split())  # lines are broken between words
    for cls in classes:
        assert all("".join(part.split()) in text for part in about(cls))
        for field in class_fields(cls):
            assert "".join(field.meaning.split()) in text
            assert any(line.split()[:1] == [field.name] for line in lines)


def test_the_table_shows_what_to_use_for_arrays(show):
    assert "posteriori.Mask in Python" in show("operators")


@pytest.mark.parametrize(("command", "classes"), LISTS)
def test_the_json_has_the_same(show, command, classes):
    entries = json.loads(show(command, "--json"))
    assert [entry["name"] for entry in entries] == [cls.name for cls in classes]
    for entry, cls in zip(entries, classes, strict=True):
        assert list(entry) == ["name", "summary", "paper", "instead", "fields"]
        assert [list(field) for field in entry["fields"]] == [["name", "default", "accepts", "meaning"]] * len(
            class_fields(cls)
        )


@pytest.mark.parametrize(("command", "classes"), LISTS)
def test_the_defaults_are_those_of_the_classes(show, command, classes):
    for entry, cls in zip(json.loads(show(command, "--json")), classes, strict=True):
        if entry["instead"]:
            assert {field["default"] for field in entry["fields"]} == {None}
            continue
        fields = [f"{field['name']}={field['default']}" for field in entry["fields"]]
        text = f"{entry['name']}({', '.join(fields)})"
        if command == "samplers":
            assert parse_sampler(text) == cls()
        else:
            assert parse_operator(text, (3, 64, 64)) == cls((3, 64, 64))


@pytest.mark.parametrize("command", ["samplers", "operators"])
def test_help_has_examples_and_imports_nothing_heavy(command):
    code = (
        "import sys\n"
        "from posteriori.cli import main\n"
        f"sys.argv = ['posteriori', {command!r}, '--help']\n"
        "try:\n    main()\nfinally:\n    assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert f"posteriori {command} --json" in shown
