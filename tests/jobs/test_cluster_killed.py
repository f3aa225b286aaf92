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

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import random_prior

pytestmark = pytest.mark.slow
KILLS = {"worker": 9, "driver": 8, "node": 3}
SUITE = """
about = "Two tasks."
prior = "none"
size = 32
pictures = 200
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
sampler = "ddrm(steps=30)"
source = "own"
[[sampler]]
sampler = "dps(gradient=norm, scale=0.3, steps=30)"
source = "own"
"""


@pytest.fixture
def cluster():
    ray = pytest.importorskip("ray", reason="Ray is not installed: posteriori[cluster] has it")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()
    ray.shutdown()


def events(out):
    """What the log says: whole lines, in order."""
    file = out / "runs" / "log.jsonl"
    lines = file.read_text().splitlines() if file.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def test_what_is_killed_at_twenty_moments_gives_the_same_parquet(cluster, tmp_path):
    prior = random_prior(tmp_path / "tiny", attention=False, size=32)
    (tmp_path / "mine.toml").write_text(SUITE)
    (tmp_path / "pictures").mkdir()
    for i in range(200):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i:03}.png")
    command = [sys.executable, "-c", "from posteriori.cli import main; main()", "bench", str(tmp_path / "mine.toml")]
    command += [str(tmp_path / "pictures"), "--prior", str(prior), "--batch", "1", "--threads", "1", "-q"]

    def driver(out, *more):
        said = (tmp_path / "said.txt").open("a")
        return subprocess.Popen([*command, "--out", str(out), *more], stdout=said, stderr=said)

    whole, killed, chance = tmp_path / "whole", tmp_path / "killed", random.Random(0)
    assert driver(whole).wait() == 0
    jobs = len({event["job"] for event in events(whole)})
    ray = ("--jobs", "2", "--address", cluster.address)
    order, allowed, process = [kind for kind, n in KILLS.items() for _ in range(n)], 0, driver(killed, *ray)
    chance.shuffle(order)
    for kind in order:
        _until_more_than(len(events(killed)) + 2, killed, process)
        time.sleep(chance.uniform(0, 2))
        assert process.poll() is None, "the work was done before it was killed often enough"
        if kind == "worker":
            os.kill(chance.choice([e["pid"] for e in events(killed) if e["event"] == "begin"][-2:]), signal.SIGKILL)
            allowed += 1
        elif kind == "driver":
            process.kill()
            process.wait()
            allowed += 2
            process = driver(killed, *ray)
        else:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            allowed += 1
            cluster.add_node(num_cpus=1)
    assert process.wait() == 0, (tmp_path / "said.txt").read_text()[-2000:]
    assert (killed / "results.parquet").read_bytes() == (whole / "results.parquet").read_bytes()
    begun = Counter(event["job"] for event in events(killed) if event["event"] == "begin")
    repeated = begun.total() - jobs
    print(f"{len(order)} kills, {jobs} batches, {repeated} repeated, {allowed} were under way at most")
    assert len(begun) == jobs
    assert 0 < repeated <= allowed


def _until_more_than(count, out, process, seconds=120):
    """The log has more events."""
    deadline = time.monotonic() + seconds
    while len(events(out)) <= count:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
