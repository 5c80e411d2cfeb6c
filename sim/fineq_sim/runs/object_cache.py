"""A compiler wrapper that keeps the objects of Verilator's run-time library.

Every verilated design compiles the same few library files, which takes far longer than a small design itself.
Verilator's makefile puts `$(OBJCACHE)` in front of the compiler, so this file is called as

    python object_cache.py g++ <options> -c -o <object> <source>

A library source is compiled once for each set of options into `FINEQ_OBJECT_CACHE`; everything else is passed
on unchanged. The name of that directory tells Verilator and compiler apart (`simulators.object_directory`), so what
is left here is the command. It is run as a script for every file, so it imports nothing of the package.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def cached_object(command: list[str], cache: Path, library: Path) -> Path | None:
    """Where the object of a compiler command lies in the cache, or None if the command is not to be cached."""
    if "-c" not in command or "-o" not in command:
        return None
    source = Path(command[-1])
    if library not in source.parents or source.suffix != ".cpp":
        return None
    output = command[command.index("-o") + 1]
    key = "\0".join(word for word in command if word != output).encode() + b"\0" + source.read_bytes()
    return cache / f"{source.stem}-{hashlib.sha256(key).hexdigest()[:24]}.o"


def main() -> int:
    command = sys.argv[1:]
    cache = os.environ.get("FINEQ_OBJECT_CACHE")
    library = os.environ.get("VERILATOR_ROOT")
    kept = cached_object(command, Path(cache), Path(library)) if cache and library else None
    if kept is None:
        return subprocess.run(command, check=False).returncode
    output = Path(command[command.index("-o") + 1])
    if not kept.exists():
        result = subprocess.run(command, check=False).returncode
        if result:
            return result
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(f".{os.urandom(8).hex()}")
        shutil.copyfile(output, temporary)
        os.replace(temporary, kept)
        return 0
    shutil.copyfile(kept, output)
    # Make rebuilds what depends on this object when the dependency file is missing.
    output.with_suffix(".d").write_text(f"{output}:\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
