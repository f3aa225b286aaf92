"""kill -9 of workers, drivers and nodes: the same results, and no more than the batches under way are repeated.

The cluster is two nodes of local processes.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import random_prior

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
#: another than the head's, where drivers connect: one whose own node dies is dead too
NODE = "127.0.0.2"
KILLS = {"worker": 9, "driver": 8, "node": 3}
SUITE = """
about = "Two tasks."
prior = "none"
size = 32
pictures = 65
seeds = 1
[[task]]
name = "box"
label = "A box"
operator = "box-mask(size={13})"
noise = "0.05"
[[task]]
name = "blur"
label = "A blur"
operator = "gaussian-blur(sigma={1.0}, size={7})"
noise = "0.05"
[[sampler]]
sampler = "ddrm(steps=15)"
source = "own"
[[sampler]]
sampler = "dps(gradient=norm, scale=0.3, steps=10)"
source = "own"
"""


@pytest.fixture
def cluster(monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed: posteriori[cluster] has it")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1, node_ip_address=NODE)
    yield made
    made.shutdown()
    ray.shutdown()


def events(out):
    """What the log says, in order; of what a kill or a look cut short, nothing."""
    file, found = out / "runs" / "log.jsonl", []
    for line in file.read_text().splitlines() if file.is_file() else ():
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def hands(found):
    """The processes that have begun a batch and not ended it, as far as ``found`` says."""
    busy = {}
    for event in found:
        if event["event"] == "begin":
            busy[event["job"]] = event["pid"]
        elif event["event"] != "progress":
            busy.pop(event["job"], None)
    return [pid for pid in busy.values() if Path(f"/proc/{pid}").exists()]


def test_what_is_killed_at_twenty_moments_gives_the_same_parquet(cluster, tmp_path):
    prior = random_prior(tmp_path / "tiny", attention=False, size=32)
    (tmp_path / "mine.toml").write_text(SUITE)
    (tmp_path / "pictures").mkdir()
    for i in range(65):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i:03}.png")
    command = [sys.executable, "-c", "from posteriori.cli import main; main()", "bench", str(tmp_path / "mine.toml")]
    command += [str(tmp_path / "pictures"), "--prior", str(prior), "--batch", "1", "--threads", "1", "-q"]

    def driver(out, *more):
        with (tmp_path / "said.txt").open("a") as said:
            return subprocess.Popen([*command, "--out", str(out), *more], stdout=said, stderr=said)

    whole, killed, chance = tmp_path / "whole", tmp_path / "killed", random.Random(0)
    assert driver(whole).wait() == 0
    jobs = len({event["job"] for event in events(whole)})
    ray = ("--jobs", "2", "--address", cluster.address)
    order, allowed, process = [kind for kind, n in KILLS.items() for _ in range(n)], 0, driver(killed, *ray)
    chance.shuffle(order)
    for kind in order:
        before, more = len(events(killed)), chance.randint(3, 12)
        _until(lambda before=before, more=more: len(events(killed)) > before + more, process)
        time.sleep(chance.uniform(0, 0.2))
        assert process.poll() is None, "the work was done before it was killed often enough"
        if kind == "worker":
            _until(lambda before=before: hands(events(killed)[before:]), process)
            os.kill(chance.choice(hands(events(killed)[before:])), signal.SIGKILL)
            allowed += 1
        elif kind == "driver":
            process.kill()
            process.wait()
            allowed += 2
            process = driver(killed, *ray)
        else:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            allowed += 1
            cluster.add_node(num_cpus=1, node_ip_address=NODE)
    assert process.wait(300) == 0, (tmp_path / "said.txt").read_text()[-2000:]
    assert (killed / "results.parquet").read_bytes() == (whole / "results.parquet").read_bytes()
    begun = Counter(event["job"] for event in events(killed) if event["event"] == "begin")
    repeated = begun.total() - jobs
    print(f"{len(order)} kills, {jobs} batches, {repeated} repeated, at most {allowed} were under way")
    assert len(begun) == jobs
    assert 0 < repeated <= allowed


def _until(there, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not there():
        assert process.poll() is None, "the work was done before it was killed often enough"
        assert time.monotonic() < deadline
        time.sleep(0.05)
