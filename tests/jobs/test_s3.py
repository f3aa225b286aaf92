"""Results in a bucket of a local S3 server: whole or not there, and read from elsewhere."""

import uuid

import pytest
from tests.jobs.squares import Square, work

from posteriori.jobs.executors import executor_of
from posteriori.jobs.run import missing, run
from posteriori.jobs.store import Files, Store

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install s3fs 'moto[server]' for this test")
moto = pytest.importorskip("moto.server", reason="moto is not installed: pip install s3fs 'moto[server]' for this test")


@pytest.fixture
def bucket(monkeypatch):
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    name = uuid.uuid4().hex
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}/results"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("n", [1, 2])
def test_results_in_a_bucket_are_whole_and_read_again(bucket, n):
    jobs, store = [Square((i, 3)) for i in range(4)], Store(bucket)
    run(jobs[:2], work, store, executor_of(n=n))
    assert missing(jobs, Store(bucket)) == jobs[2:]
    run(jobs[2:], work, store, executor_of(n=n))
    assert [Store(bucket).read(job).values["sum"] for job in jobs] == [i * i + 9 for i in range(4)]
    assert store.files.names() == sorted(f"{job.key}.npz" for job in jobs)
    store.files.put(f"{jobs[0].key}.npz", lambda file: file.write(b"half"))
    said = []
    assert missing(jobs, Store(bucket, said.append)) == jobs[:1]
    assert "is damaged" in said[0]
    with Files(bucket).folder() as folder:
        (folder / "a.txt").write_text("page")
    assert Files(bucket).get("a.txt") == b"page"
