"""The page in a real browser: what people do there, and what goes wrong."""

import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.web.conftest import PATIENCE

#: steps of a sampler that makes several calls in each, so that a run outlasts all that a test does
LONG = 1000


def give(page, path):
    page.locator("#upload input[type=file]").set_input_files(path)
    page.get_by_text(f"{path.name}, 32 x 32 pixels").first.wait_for()


def choose(page, label, option):
    """An option of a list that opens."""
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def ask(page, server, face, steps, damage="Blur", sampler="ddrm"):
    """Has everything set for a restoration by the tiny prior."""
    give(page, face)
    page.get_by_label(damage, exact=True).check()
    choose(page, "Prior", server.prior)
    page.get_by_role("button", name="Advanced").click()
    choose(page, "Method", sampler)
    option(page, "steps", steps)


def option(page, name, value):
    """One of the options under Advanced."""
    page.locator(f"#option-{name}").get_by_role("textbox").fill(str(value))


def told(page, pattern):
    line = page.locator("#told").get_by_text(re.compile(pattern))
    line.first.wait_for()
    return line.first.inner_text()


def wait_until(true):
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_picture_is_restored_and_the_line_to_type_gives_the_same_bytes(server, visit, face, tmp_path):
    page = visit(accept_downloads=True)
    ask(page, server, face, 3)
    option(page, "samples", 2)
    page.locator("#estimate").get_by_text("It will take about").wait_for()
    page.locator("#go").click()
    told(page, "^Done in")
    page.get_by_text("Standard deviation of the samples").wait_for()
    with page.expect_download() as loading:
        page.get_by_text("Download everything").click()
    with zipfile.ZipFile(loading.value.path()) as packed:
        packed.extractall(tmp_path)
    assert (tmp_path / "face.png").read_bytes() == face.read_bytes()
    line = page.locator("#command textarea").input_value()
    assert (tmp_path / "command.txt").read_text() == line + "\n"
    words = shlex.split(line)
    assert words[:2] == ["posteriori", "restore"]
    again = [*words[1:-1], "again"]
    subprocess.run(
        [sys.executable, "-c", "from posteriori.cli import main; main()", *again, "-q"], cwd=tmp_path, check=True
    )
    made, typed = tmp_path / "restored" / "face", tmp_path / "again" / "face"
    names = sorted(path.name for path in typed.iterdir())
    assert sorted(path.name for path in made.iterdir()) == names
    assert {"mean.png", "measurement.npy", "sample-02.png", "std.npy"} <= set(names)
    for name in set(names) - {"manifest.json"}:
        assert (made / name).read_bytes() == (typed / name).read_bytes(), name
    apart = ("seconds", "peak_memory_bytes")
    ours, theirs = (json.loads((folder / "manifest.json").read_text()) for folder in (made, typed))
    assert {k: v for k, v in ours.items() if k not in apart} == {k: v for k, v in theirs.items() if k not in apart}
    page.locator("#another").click()
    told(page, "^Done in.*seed 1")
    assert "--seed 1" in page.locator("#command textarea").input_value()


def test_what_is_painted_is_replaced(server, visit, face, tmp_path):
    page = visit(accept_downloads=True)
    ask(page, server, face, 3, damage="Holes, scratches")
    page.locator("#go").click()
    told(page, "nothing is painted yet")
    canvas = page.locator("#editor canvas").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    box = canvas.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.45 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.55 * box["width"], middle, steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)
    page.locator("#go").click()
    told(page, "^Done in")
    assert "--mask mask.png" in page.locator("#command textarea").input_value()
    with page.expect_download() as loading:
        page.get_by_text("Download everything").click()
    with zipfile.ZipFile(loading.value.path()) as packed:
        packed.extractall(tmp_path)
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    assert mask.shape == (32, 32)
    assert 0 < (mask == 255).mean() < 1
    assert mask[16, 16] == 255
    before, after = (
        np.asarray(Image.open(tmp_path / "restored/face" / name).convert("RGB"))
        for name in ("measurement.png", "restored.png")
    )
    assert (before[mask == 0] == after[mask == 0]).all()


def test_a_run_is_watched_and_cancelled(server, visit, face):
    page = visit()
    ask(page, server, face, LONG, sampler="mmps")
    page.locator("#go").click()
    told(page, rf"^Step \d+ of {LONG}, \d:\d\d:\d\d left, residual")
    page.get_by_alt_text("the estimate so far").wait_for()
    page.get_by_role("img", name=re.compile("^residual .* by step")).wait_for()
    page.locator("#go").wait_for(state="hidden")
    page.locator("#cancel").click()
    told(page, "^Cancelled")
    page.locator("#go").wait_for()
    page.get_by_alt_text("the estimate so far").wait_for()


def text(path):
    path.write_text("no picture")


def bomb(path):
    """A PNG of few bytes that says it has a hundred million pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def half(path):
    Image.new("RGB", (64, 64), "red").save(path)
    path.write_bytes(path.read_bytes()[:60])


MALFORMED = {
    "text.png": (text, "text.png is not a picture"),
    "empty.jpg": (lambda path: path.write_bytes(b""), "empty.jpg"),
    "half.png": (half, "half.png"),
    "bomb.png": (bomb, "10000 x 10000 pixels, and this page takes 1 million"),
    "large.png": (
        lambda path: Image.new("L", (1200, 1000)).save(path),
        "1200 x 1000 pixels, and this page takes 1 mill",
    ),
    "pickled.npy": (lambda path: np.save(path, np.array([{}]), allow_pickle=True), "pickled.npy"),
    "script.svg": (text, "script.svg"),
}


def test_malformed_uploads_are_answered_with_a_sentence(server, visit, face, tmp_path):
    page = visit()
    for name, (write, said) in MALFORMED.items():
        write(tmp_path / name)
        page.locator("#upload input[type=file]").set_input_files(tmp_path / name)
        alert = page.locator("#preview").get_by_role("alert").filter(has_text=said)
        alert.wait_for()
        assert "Traceback" not in page.content()
        assert len(alert.inner_text().strip().splitlines()) == 1
    page.locator("#go").click()
    told(page, "there is no picture yet")
    give(page, face)


def test_of_two_users_the_second_sees_its_place_and_then_its_picture(server, visit, face):
    first, second = visit(), visit()
    ask(first, server, face, LONG, sampler="mmps")
    ask(second, server, face, 3)
    first.locator("#go").click()
    told(first, "^Step")
    second.locator("#go").click()
    told(second, "^1 before you")
    first.locator("#cancel").click()
    told(second, "^Done in")
    told(first, "^Cancelled")


def test_a_killed_worker_is_said_and_the_next_run_has_another(server, visit, face):
    page = visit()
    ask(page, server, face, LONG, sampler="mmps")
    page.locator("#go").click()
    told(page, "^Step")
    for worker in server.workers:
        os.kill(worker, signal.SIGKILL)
    told(page, "face.png lost its process, which was killed")
    option(page, "steps", 3)
    page.locator("#go").click()
    told(page, "^Done in")


def test_a_closed_tab_takes_its_run_and_its_files_along(server, visit, face):
    others = set(server.sessions)
    page = visit()
    ask(page, server, face, LONG, sampler="mmps")
    page.locator("#go").click()
    told(page, "^Step")
    own = set(server.sessions) - others
    assert own
    page.close()
    wait_until(lambda: own.isdisjoint(server.sessions))
    page = visit()
    ask(page, server, face, 3)
    page.locator("#go").click()
    told(page, "^Done in")


def test_methods_are_compared(server, visit, face):
    page = visit()
    ask(page, server, face, 3)
    page.get_by_label("It is clean").check()
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-steps").get_by_role("textbox").fill("2")
    for name in ("auto", "dps", "diffpir"):
        page.locator("#methods").get_by_label(name, exact=True).set_checked(name != "auto")
    page.locator("#methods").get_by_label("ddnm", exact=True).check()
    page.locator("#compare").click()
    page.locator("#compared").get_by_text("3 of 3 done").wait_for()
    rows = page.locator(".pp-compare tbody tr")
    assert [row.split()[0] for row in rows.all_inner_texts()] == ["dps", "ddnm", "diffpir"] or rows.count() == 3
    assert page.locator(".pp-crop img").count() == 5  # with the measurement and the truth


def test_a_method_is_walked_through(server, visit):
    page = visit()
    page.get_by_role("tab", name="Learn").click()
    page.locator("#learner").get_by_label("SDEdit").check()
    page.locator("#walk").click()
    page.locator("#walked").get_by_text(re.compile("^SDEdit, deconvolution")).wait_for()
    line = page.locator("#steps output")
    first = line.inner_text()
    page.get_by_label("from noise to clean").press("End")
    assert first != line.inner_text()
    assert page.locator(".pp-frame").count() == 4


def test_earlier_runs_are_opened(server, visit):
    page = visit()
    page.get_by_role("tab", name="Runs").click()
    choose(page, "Run", "earlier/restored/face")
    page.locator("#run .pp-slider").wait_for()
    assert page.locator("#run .pp-samples img").count() == 2
    loaded = "async (all) => { await Promise.all(all.map((own) => own.decode())); return true; }"
    assert page.locator("#run img").evaluate_all(loaded)


def test_everything_has_a_name_and_the_keyboard_reaches_it(server, visit, face):
    page = visit()
    ask(page, server, face, 2)
    page.locator("#go").click()
    told(page, "^Done in")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button, img, iframe")]
            .filter((own) => own.checkVisibility() && own.type !== "file")
            .filter((own) => !(own.alt || own.title || own.ariaLabel || own.labels?.length || own.innerText?.trim()
                || own.closest("label")?.innerText.trim() || own.getAttribute("aria-labelledby")))
            .map((own) => own.outerHTML.slice(0, 200))"""
    )
    assert nameless == []
    handle = page.locator("#view .pp-slider input")
    handle.focus()
    handle.press("ArrowRight")
    assert page.locator("#view .pp-pair").evaluate("own => own.style.getPropertyValue('--cut')") == "51%"
    reached = set()
    page.locator("body").click(position={"x": 2, "y": 2})
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('[id]')?.id"))
    assert {"go", "another"} <= reached


def test_no_path_that_a_client_gives_is_opened(server, visit):
    for path in (
        "gradio_api/file=/etc/passwd",
        "made/x/../../../etc/passwd",
        "made/x/%2e%2e%2fetc%2fpasswd",
        "file=/etc/passwd",
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(server.url + path)
        assert refused.value.code in (403, 404)
    page = visit()
    seen = page.evaluate(
        """async () => {
            const {components, dependencies} = window.gradio_config;
            const upload = components.find((own) => own.props.elem_id === "upload");
            const dependency = dependencies.find((own) => own.inputs.length === 1 && own.inputs[0] === upload.id);
            const session_hash = "abcdefghijk", path = "/etc/passwd";
            const file = {path, orig_name: "x.png", meta: {_type: "gradio.FileData"}};
            const body = JSON.stringify({data: [file], fn_index: dependency.id, session_hash});
            const headers = {"content-type": "application/json"};
            await fetch("gradio_api/queue/join", {method: "POST", headers, body});
            const answer = await fetch(`gradio_api/queue/data?session_hash=${session_hash}`);
            return await answer.text();
        }"""
    )
    assert "process_completed" in seen
    assert '"success":false' in seen.replace(" ", "")
    assert "root:" not in seen


@pytest.mark.parametrize("uploads", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_memory_stays_flat_over_uploads(server, visit, tmp_path, uploads):
    """The first half may fill caches and pools."""
    page, used = visit(), []
    for i in range(uploads):
        path = tmp_path / f"{i}.png"
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (500, 700, 3), np.uint8)).save(path)
        page.locator("#upload input[type=file]").set_input_files(path)
        page.get_by_text(f"{path.name}, 700 x 500 pixels").first.wait_for()
        used.append(server.memory)
    assert used[-1] - used[uploads // 2 - 1] < 30
