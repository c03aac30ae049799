"""Conversion of raw files, or generation of samples, into a folder of arrays: in parallel, and resumed after a kill.

The rows of the arrays are divided into chunks. Each chunk is converted independently, written to its rows, and listed
in a journal. After a kill the conversion resumes with the chunks that are not in the journal.
"""

import contextlib
import functools
import json
import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s5.catalog import DataError, DatasetInfo, cache_path
from s5.data.cache import NUMBA_CACHE_VARIABLE, Arrays, provenance
from s5.data.progress import Progress
from s5.data.store import StoredArrays, commit_store, open_store
from s5.run_dir import locks

_PLAN, _JOURNAL = "plan.json", "journal"


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of the arrays.

    Attributes:
        start: The first row.
        stop: The row after the last.
        source: The argument of the plan's `convert` for the chunk, such as a range of lines of a file.
    """

    start: int
    stop: int
    source: Any


@dataclass(frozen=True, kw_only=True)
class ConversionPlan:
    """A conversion that has not started.

    Attributes:
        arrays: Shape and type of each array, by name; the first axis is the rows.
        chunks: The chunks, which cover all rows.
        convert: A function from the source of a chunk to its rows; at module level, since other processes call it.
        facts: Facts for the header that are known in advance. A conversion resumes only if they are the same.
        sources: The raw files. A conversion resumes only if they have not changed.
        finish: A function from the finished arrays to further facts; it raises `DataError` if the arrays are wrong.
    """

    arrays: Mapping[str, tuple[tuple[int, ...], str]]
    chunks: Sequence[Chunk]
    convert: Callable[[Any], Arrays]
    facts: Mapping[str, Any]
    sources: Sequence[Path] = ()
    finish: Callable[[Arrays], Mapping[str, Any]] | None = None

    @property
    def rows(self) -> int:
        """Number of rows of all chunks."""
        return sum(chunk.stop - chunk.start for chunk in self.chunks)


def open_or_convert(
    info: DatasetInfo,
    cache: str | None,
    make_plan: Callable[[], ConversionPlan],
    *,
    workers: int = 1,
    unit: str = "examples",
) -> StoredArrays:
    """Return a data set's folder of arrays; if it is missing, convert the raw files first.

    Args:
        info: The data set.
        cache: The config's `data.cache`.
        make_plan: The function that plans the conversion from the raw files.
        workers: Number of processes; 1 to convert in this process.
        unit: The name of a row in the plural, for the progress.

    Raises:
        DataError: If the raw files are damaged, or the folder cannot be written.
        MissingData: If there are no raw files.
    """
    found = open_store(info, cache)
    if found is not None:
        return found
    path = cache_path(info, cache)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(path):
            found = open_store(info, cache)  # the process that held the lock may have converted the files
            if found is None:
                os.environ.setdefault(NUMBA_CACHE_VARIABLE, str(path.parent / "numba"))
                _convert(info, path, make_plan(), workers, unit)
    except OSError as error:
        raise DataError(
            f"{error.filename or path}: {error.strerror}",
            hint="repeat the command; the conversion resumes where it stopped",
        ) from error
    found = open_store(info, cache)
    assert found is not None, f"{path}: the files that were just written are not valid"
    return found


def _convert(info: DatasetInfo, path: Path, plan: ConversionPlan, workers: int, unit: str) -> None:
    work = path.with_name(f".{path.name}.work")
    done = _open_work(work, info, plan)
    todo = [number for number in range(len(plan.chunks)) if number not in done]
    progress = Progress(info.cached_as or info.name, plan.rows, unit)
    progress.resume_at(sum(plan.chunks[n].stop - plan.chunks[n].start for n in done))
    try:
        with (work / _JOURNAL).open("a") as journal:
            for number in _each_converted(work, plan, todo, workers):
                journal.write(f"{number}\n")
                journal.flush()
                progress.advance(plan.chunks[number].stop - plan.chunks[number].start)
        progress.finish()
        arrays = {name: np.load(_file(work, name), mmap_mode="r") for name in plan.arrays}
        found = plan.finish(arrays) if plan.finish else {}
    except DataError:
        # The raw files are wrong, so the converted chunks are useless.
        shutil.rmtree(work, ignore_errors=True)
        raise
    del arrays
    commit_store(work, path, info, {**plan.facts, **found})


def _open_work(work: Path, info: DatasetInfo, plan: ConversionPlan) -> set[int]:
    """Create the work folder, or keep the one of the same conversion; return the numbers of its finished chunks."""
    facts = {
        **provenance(info),
        "facts": plan.facts,
        "arrays": {name: [list(shape), dtype] for name, (shape, dtype) in plan.arrays.items()},
        "chunks": [[chunk.start, chunk.stop] for chunk in plan.chunks],
        "sources": [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in plan.sources],
    }
    text = json.dumps(facts, sort_keys=True)
    with contextlib.suppress(OSError):
        if (work / _PLAN).read_text() == text:
            lines = (work / _JOURNAL).read_text().split("\n")[:-1]  # a kill may have cut off the last line
            return {int(line) for line in lines}
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for name, (shape, dtype) in plan.arrays.items():
        array = np.lib.format.open_memmap(_file(work, name), mode="w+", dtype=np.dtype(dtype), shape=shape)
        size = array.offset + array.nbytes
        del array
        with _file(work, name).open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk raises here instead of SIGBUS later
    (work / _JOURNAL).touch()
    (work / _PLAN).write_text(text)
    return set()


def _each_converted(work: Path, plan: ConversionPlan, todo: Sequence[int], workers: int) -> Iterator[int]:
    """Convert chunks, and yield the number of each chunk when its rows are on disk."""
    convert = functools.partial(_convert_chunk, work, plan.convert)
    if workers <= 1 or len(todo) <= 1:
        for number in todo:
            convert(plan.chunks[number])
            yield number
        return
    # A forked child would inherit locks held by other threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(todo)), mp_context=context, initializer=_die_with_parent)
    try:
        futures = {pool.submit(convert, plan.chunks[number]): number for number in todo}
        for future in as_completed(futures):
            future.result()
            yield futures[future]
    except BrokenProcessPool as error:
        raise OSError(None, "a converting process was killed, perhaps for lack of memory", str(work)) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _convert_chunk(work: Path, convert: Callable[[Any], Arrays], chunk: Chunk) -> None:
    for name, rows in convert(chunk.source).items():
        path = _file(work, name)
        whole = np.load(path, mmap_mode="r")
        assert rows.dtype == whole.dtype, f"{name}: {rows.dtype} rows for an array of {whole.dtype}"
        assert rows.shape == (chunk.stop - chunk.start, *whole.shape[1:]), f"{name}: rows of shape {rows.shape}"
        row_bytes = whole.nbytes // len(whole)
        with path.open("r+b") as file:
            file.seek(whole.offset + chunk.start * row_bytes)
            file.write(np.ascontiguousarray(rows).data)
            file.flush()
            os.fdatasync(file.fileno())


def _die_with_parent() -> None:
    """Start a thread that exits this process when its parent ends; otherwise it would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold the lock on a conversion; wait while another process holds it. The kernel frees it if this process ends."""
    with path.with_name(f".{path.name}.lock").open("w") as file:
        if not locks.lock_fd(file.fileno()):
            sys.stderr.write(f"{path.name}: another process is converting it; waiting\n")
            locks.lock_fd(file.fileno(), wait=True)
        yield


def _file(work: Path, name: str) -> Path:
    return work / f"{name}.npy"


def chunk_list(items: Sequence[Any], size: int) -> list[Chunk]:
    """Return chunks of `size` rows, a row for each item; the source of a chunk is its part of the list."""
    starts = range(0, len(items), size)
    return [Chunk(start, min(start + size, len(items)), items[start : start + size]) for start in starts]


def chunk_range(n: int, size: int, start: int = 0) -> list[Chunk]:
    """Return chunks of `size` rows for the numbers 0 to n-1; the source of a chunk is the range of its numbers.

    Args:
        n: Number of rows.
        size: Rows per chunk.
        start: The row of number 0.
    """
    ends = [(first, min(first + size, n)) for first in range(0, n, size)]
    return [Chunk(start + first, start + last, range(first, last)) for first, last in ends]
