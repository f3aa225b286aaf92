"""A suite's results for other programs: a row of a Parquet file for each restoration, a row group for each batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from posteriori import __version__
from posteriori.errors import PosterioriError
from posteriori.studies.suite.run import Row

if TYPE_CHECKING:
    import pyarrow

RESULTS = "results.parquet"
#: the metrics of a restoration; NaN if not measured or if the sampler diverged
METRICS = ("psnr", "ssim", "lpips", "lpips_vgg", "residual", "hole")


def parquet_there() -> bool:
    return find_spec("pyarrow") is not None


def need_parquet() -> None:
    """Raises PosterioriError if Parquet cannot be read or written."""
    if not parquet_there():
        raise PosterioriError("Parquet needs pyarrow: pip install 'posteriori[cluster]'")


def write_parquet(suite: str, rows: Sequence[Row], file: BinaryIO) -> None:
    """Writes every restoration of ``rows``.

    A row has the settings (suite, task, prior, operator, sigma, method, picture, sha256 of its pixels, seed), the
    metrics (float64), the network calls of one restoration, and whether the sample is the one of the task's ``best_of``
    that ``counts``. The same results give the same bytes, whichever processes computed them and in whatever order.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.dictionary(pa.int32(), pa.string())
    about = ("posteriori", "suite", "task", "prior", "prior_sha256", "operator", "method", "picture", "sha256")
    schema = pa.schema(
        [(name, text) for name in about]
        + [("sigma", pa.float64()), ("seed", pa.int64()), ("calls", pa.int64())]
        + [("best_of", pa.int64()), ("counts", pa.bool_())]
        + [(name, pa.float64()) for name in METRICS]
    )
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for row in rows:
            for batch in _batches(suite, row, schema):
                writer.write_table(batch)


def _batches(suite: str, row: Row, schema: pyarrow.Schema) -> Iterator[pyarrow.Table]:
    import pyarrow as pa

    task, run = row.cell.task, row.cell.run
    counts = np.zeros((len(run.images), len(run.seeds) // task.best_of, task.best_of), bool)
    np.put_along_axis(counts, row.chosen, True, 2)
    first = 0
    for group in row.cell.groups:
        own = group.run
        n, of = len(group.rows), [own.images[i] for i, _ in group.rows]
        here = slice(first, first := first + n)
        name, sha256 = own.prior
        same: dict[str, Any] = {
            "posteriori": __version__,
            "suite": suite,
            "task": task.name,
            "prior": name,
            "prior_sha256": sha256,
        }
        same |= {"operator": own.operator, "method": own.method, "sigma": own.noise.level, "calls": row.calls}
        columns: dict[str, Any] = {key: [value] * n for key, value in (same | {"best_of": task.best_of}).items()}
        columns |= {"picture": [label for label, _ in of], "sha256": [key for _, key in of]}
        columns |= {"seed": [seed for _, seed in group.rows], "counts": counts.ravel()[here]}
        columns |= {key: row.metrics[key][here] if key in row.metrics else [np.nan] * n for key in METRICS}
        yield pa.table([pa.array(columns[field.name]).cast(field.type) for field in schema], schema=schema)
