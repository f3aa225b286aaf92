"""``posteriori priors`` from the command line, with a card whose network is the recorded one."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from posteriori.cli import main
from posteriori.cli.priors import app
from posteriori.hub.cards import CardFile, cache_dir, cards, load_card
from posteriori.hub.load import embedded, load_prior

COMMANDS = ("list", "show", "pull", "add", "convert", "evaluate")


@pytest.fixture
def small(golden, tmp_path, monkeypatch):
    """A card that knows the recorded checkpoint; its url is nobody's, and the cache is empty."""
    data = (golden / "adm-small.pt").read_bytes()
    copy = CardFile(
        "small.pt",
        "http://127.0.0.1:9/small.pt",
        "https://example.org/page",
        hashlib.sha256(data).hexdigest(),
        len(data),
    )
    flags = json.loads((golden / "adm-small.json").read_text())
    card = replace(load_card("ffhq-256"), name="small", size=64, flags=flags, files=(copy,))
    known = {**cards(), "small": card}
    monkeypatch.setattr("posteriori.hub.cards.cards", lambda: known)
    monkeypatch.setattr("posteriori.hub.load.cards", lambda: known)
    monkeypatch.setenv("POSTERIORI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "300")
    return card


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception:
        raise result.exception
    return result.stdout


def test_added_then_used(small, golden):
    assert run("add", "small", golden / "adm-small.pt") == f"{cache_dir() / 'small.pt'}: use it as --prior small\n"
    assert load_prior("small").shape == (3, 64, 64)
    assert f"{cache_dir() / 'small.pt'} (here)" in run("show", "small")
    assert f"downloaded files lie in {cache_dir()}" in run("list")
    assert run("pull", "small") == f"{cache_dir() / 'small.pt'}: use it as --prior small\n"


def test_list(small, golden):
    listed = run("list")
    assert all(word in listed for word in ("faces-64", "embedded", "ffhq-256", "not here", "374 MB"))
    assert "`posteriori priors pull NAME`" in listed
    run("add", "small", golden / "adm-small.pt")
    rows = {row["name"]: row for row in json.loads(run("list", "--json"))}
    assert list(rows) == [*embedded(), *cards(), "small"]
    assert rows["small"] == {
        "name": "small",
        "size": 64,
        "where": "downloaded",
        "file": str(cache_dir() / "small.pt"),
        "bytes": small.files[0].bytes,
        "licence": small.licence,
    }
    assert rows["ffhq-256"]["file"] is None
    assert Path(rows["faces-64"]["file"]).stat().st_size == rows["faces-64"]["bytes"]


def test_show_a_card(small):
    card = load_card("ffhq-256")
    shown = run("show", "ffhq-256")
    for part in (card.licence, "256 px", "93,563,910", "374,417,833", "learned variance  yes", "num_channels 128"):
        assert part in shown
    for file in card.files:
        assert f"{cache_dir() / file.name} (not here)" in shown
        assert all(part in shown for part in (file.url, file.page, file.sha256 or "not recorded"))
    facts = json.loads(run("show", "ffhq-256", "--json"))
    assert facts["schedule"] == card.schedule
    assert facts["network"] == card.flags
    assert [file["sha256"] for file in facts["files"]] == [file.sha256 for file in card.files]
    assert facts["files"][0]["file"] == str(cache_dir() / "ffhq_10m.pt")
    assert not facts["files"][0]["here"]


def test_show_a_folder(small, golden, tmp_path):
    folder = tmp_path / "mine"
    assert run("convert", golden / "adm-small.pt", folder) == f"wrote {folder}: use it as --prior {folder}\n"
    (file,) = folder.glob("*.safetensors")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest in run("show", folder)
    facts = json.loads(run("show", folder, "--json"))
    assert (facts["name"], facts["size"], facts["learned_variance"]) == ("small", 64, True)
    assert facts["files"] == [{"file": str(file), "here": True, "bytes": file.stat().st_size, "sha256": digest}]
    assert json.loads(run("show", "faces-64", "--json"))["network"]["patch"] == 2
    two = json.loads(run("show", "faces-128", "--json"))["files"]  # a network for noisy levels has its own file
    assert [Path(file["file"]).parent.name for file in two] == ["faces-128", "noisy"]
    hashes = [hashlib.sha256(Path(file["file"]).read_bytes()).hexdigest() for file in two]
    assert [file["sha256"] for file in two] == hashes


def test_names_that_need_no_file_or_are_none(small):
    for command in (["pull"], ["add"]):
        rest = ["nothing.pt"] if command == ["add"] else []
        with pytest.raises(ValueError, match=r"^faces-64 comes with the package and needs no file; .* are .*ffhq-256"):
            run(*command, "faces-64", *rest)
        with pytest.raises(ValueError, match="no prior to download is called 'smal': there are small, "):
            run(*command, "smal", *rest)
    with pytest.raises(ValueError, match="no prior is called 'smal': there are small, "):
        run("show", "smal")


def test_an_error_is_one_line_and_exits_with_1(small, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["posteriori", "priors", "pull", "small"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    for part in (small.files[0].sha256, "from https://example.org/page by hand", "`posteriori priors add small FILE`"):
        assert part in err


@pytest.fixture
def pictures(tmp_path):
    """Eight pictures of noise, 40 x 32."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


def test_evaluate_writes_its_results_and_goes_on_from_them(posteriori, tiny_prior, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("posteriori.studies.evaluation.run.STEPS", 2)
    monkeypatch.setenv("COLUMNS", "120")
    words = ["priors", "evaluate", tiny_prior, "--images", pictures, "--holdout", "::2", "--skip", 1]
    options = ["--samples", 3, "--out", tmp_path / "out"]
    answer = posteriori(*words, *options)
    assert answer.code == 0, answer.err
    files = [
        "denoising.json",
        "evaluation.json",
        "evaluation.md",
        "nearest.png",
        "samples",
        "samples.png",
        "shifts.json",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name[0] != ".") == files
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    denoised = json.loads((tmp_path / "out" / "denoising.json").read_text())["network"]
    assert list(denoised["sigma 0.1"]) == ["2.png", "4.png", "6.png"]
    row = next(row for row in found["denoising"] if row["level"] == "sigma 0.1")
    assert row["network"]["mean"] == pytest.approx(sum(denoised["sigma 0.1"].values()) / 3)
    assert f"{row['network']['mean']:.2f} ± {row['network']['error']:.2f}" in answer.out
    assert [(d["m"], d["n"]) for d in found["distances"]] == [(3, 3), (3, 3), (3, 3)]
    memorised = found["memorisation"]
    assert (memorised["m"], memorised["n"], memorised["training"]) == (3, 3, 4)
    assert all(title in answer.out for title in ("Denoising", "Samples", "Memorisation"))
    assert found["settings"]["holdout"] == "::2"

    def again(*_, **__):
        raise AssertionError("done already")

    with monkeypatch.context() as patch:
        patch.setattr("posteriori.restore.unconditional.sample", again)
        patch.setattr("posteriori.priors.unet.UNetPrior.denoise", again)
        repeated = posteriori(*words, *options, "--json")
        refused = posteriori(*words, *options, "--seed", 1)
    assert repeated.code == 0, repeated.err
    assert {**found, **json.loads(repeated.out)} == found
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == found
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "holds an evaluation with other settings: give another --out, or --overwrite" in refused.err
    replaced = posteriori(*words, *options, "--seed", 1, "--overwrite", "--quiet")
    assert (replaced.code, replaced.out) == (0, ""), replaced.err
    other = json.loads((tmp_path / "out" / "denoising.json").read_text())["network"]
    assert all(other["sigma 0.1"][name] != value for name, value in denoised["sigma 0.1"].items())


def test_evaluate_a_convolutional_prior_at_the_pictures_own_size(posteriori, any_size_prior, pictures, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    answer = posteriori("priors", "evaluate", any_size_prior, "--images", pictures)
    assert answer.code == 0, answer.err
    assert "mean over 8 held-out pictures" in answer.out
    assert "Samples" not in answer.out
    monkeypatch.setattr("posteriori.studies.evaluation.run.STEPS", 2)
    words = ["priors", "evaluate", any_size_prior, "--images", pictures, "--holdout", "::2", "--samples", 3]
    found = json.loads(posteriori(*words, "--json").out)
    assert [(d["m"], d["n"]) for d in found["distances"]] == [(3, 4), (3, 3), (3, 4)]
    assert found["memorisation"] is None


def test_evaluate_says_what_is_wrong_in_a_line(posteriori, tiny_prior, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    for options, part in (
        (["--images", pictures / "0.png"], "neither a folder nor a zip of images"),
        (["--images", pictures, "--skip", 7], "leave 1 of 8 pictures"),
        (["--images", pictures, "--holdout", "odd"], "holdout is 'odd': give a slice of the sorted names, like 52::53"),
        (["--images", pictures, "--samples", 1], "give --samples 0 for none, or at least 2"),
        (["--images", pictures, "--bm3d"], "`pip install bm3d`"),
    ):
        answer = posteriori("priors", "evaluate", tiny_prior, *options)
        assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
        assert part in answer.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_two_examples_and_imports_nothing_heavy(command):
    code = (
        "import sys\n"
        "from posteriori.cli import main\n"
        f"sys.argv = ['posteriori', 'priors', {command!r}, '--help']\n"
        "try:\n    main()\nfinally:\n    assert not {'torch', 'numpy', 'requests'} & set(sys.modules)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.count(f"posteriori priors {command} ") == 3  # the usage line and two examples
