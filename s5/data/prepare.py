"""`python -m s5.data.prepare NAME…`: check the raw files of data sets and fill their caches before a run does."""

import argparse
import sys
from collections.abc import Sequence

from s5 import catalog
from s5.config import DataConfig
from s5.data import load
from s5.data.raw import read_files
from s5.result import Exit


def prepare(config: DataConfig) -> list[str]:
    """Check the raw files of a data set, convert them, and check that the cache holds the result.

    Args:
        config: Which one, and where its files lie.

    Returns:
        What was found, line by line.

    Raises:
        DataError: Where the files are damaged, or the cache cannot be written.
        MissingData: Where neither the files nor a valid cache are there.
    """
    info = catalog.dataset_info(config.name)
    lines = [f"{info.name}: {info.about}", f"  licence: {info.licence}"]
    catalog.check_available(config.name, config.root, config.cache)
    try:
        paths = catalog.find_files(info.name, config.root)
        contents = read_files(info, config.root)
        lines += [f"  checked: {paths[name]} ({len(content):,} bytes unpacked)" for name, content in contents.items()]
    except catalog.MissingData:
        lines.append("  raw files: none, and none needed while the cache is there")
    dataset = load(config)
    cache = catalog.cache_path(info, config.cache)
    if info.cache is not catalog.Cache.none and not cache.is_file():
        raise catalog.DataError(f"{cache}: the cache cannot be written", hint=f"set ${catalog.CACHE_VARIABLE}")
    if info.cache is not catalog.Cache.none:
        lines.append(f"  cache: {cache} ({cache.stat().st_size:,} bytes)")
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in dataset.splits.items())
    lines.append(f"  {sizes}; {dataset.length} steps of {dataset.d_input}; {dataset.n_classes} classes")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the data sets named on the command line.

    Args:
        arguments: The command line without the program; None for this process's.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m s5.data.prepare", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", help=", ".join(catalog.CATALOG))
    parser.add_argument("--root", help=f"folder with the raw files; default: ${catalog.ROOT_VARIABLE}, else ./data")
    parser.add_argument("--cache", help=f"folder for converted files; default: ${catalog.CACHE_VARIABLE}, else XDG's")
    options = parser.parse_args(arguments)
    for name in options.names:
        try:
            lines = prepare(DataConfig(name=name, root=options.root, cache=options.cache))
        except catalog.DataError as error:
            sys.stderr.write(f"error: {error.message}\n" + (f"\nhint: {error.hint}\n" if error.hint else ""))
            return Exit.USER_ERROR
        sys.stdout.write("\n".join(lines) + "\n")
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main())
