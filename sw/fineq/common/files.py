"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place at the end; after an error nothing has changed.

    Several processes may do this for the same path at once; the last to end wins. Directories above are made.
    The suffix stays, since some programs choose a format by it. Of a link, what it leads to is replaced.

    Raises:
        OSError: the place cannot be written.
    """
    path = _followed(Path(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(0o666 & ~_umask())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def replacing_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new directory beside `path` to fill, which takes its place at the end; after an error nothing has changed.

    Several processes or threads may do this for the same path at once; the last to end wins. Directories above are
    made. Of a link, what it leads to is replaced.

    Raises:
        OSError: the place cannot be written.
    """
    path = _followed(Path(path).absolute())
    path.parent.mkdir(parents=True, exist_ok=True)
    own = secrets.token_hex(8)  # others may fill theirs for the same place, in this process too
    fresh, stale = (path.with_name(f".{path.name}.{own}.{age}") for age in ("new", "old"))
    fresh.mkdir()
    try:
        yield fresh
        while True:
            with suppress(FileNotFoundError):
                os.replace(path, stale)
            try:
                os.replace(fresh, path)
                break
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:  # else another has just put its own there: it is older now
                    raise
                shutil.rmtree(stale, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if stale.exists():
            if not path.exists():
                os.replace(stale, path)
            shutil.rmtree(stale, ignore_errors=True)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a file whole or not at all; directories above are made."""
    with replacing(path) as aside:
        try:
            aside.write_bytes(content)
        except OSError as error:  # a full disk does not say where it is
            error.filename = error.filename or os.fspath(path)
            raise
    return Path(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """As `write_bytes`, in UTF-8 with the line ends as they are."""
    return write_bytes(path, text.encode())


def _followed(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
