"""A disk that is full."""

import contextlib
import resource


@contextlib.contextmanager
def room(bytes_a_file):
    """As on a disk that is full: no file grows beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
