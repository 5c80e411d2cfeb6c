"""The documentation site: `make docs` builds it into build/docs, without a network and with warnings as errors.

Pages are the Markdown files of this directory. The reference of the Python packages is made from their docstrings and
that of the commands from their options; FINEQ_DOCS_API=0 leaves both out, for a quick look at the pages.
"""

import os
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

API = os.environ.get("FINEQ_DOCS_API", "1") != "0"
PACKAGES = {
    "sw": ("fineq",),
    "hw": ("fineq_hw",),
    "sim": ("fineq_sim",),
    "scripts": ("fineq_asic", "fineq_system", "fineq_formal", "fineq_mutants", "fineq_reports"),
}
NOT_LIBRARIES = ("*/commands", "*/benches", "*/__main__.py", "*/cli.py")
"""Commands have a page of their own; testbenches can be imported by a simulator alone."""
ONLY_WITH_EXTRAS = ("litedram", "litex", "migen", "onnx", "serial", "triton")

project = "FineQ"
author = "The FineQ project"
copyright = "the FineQ project, Apache 2.0"
release = version = metadata.version("fineq")

extensions = ["myst_parser"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "index"
exclude_patterns = ["_*"]
suppress_warnings = [] if API else ["toc.excluded", "toc.not_readable"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "FineQ"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False

import notebook_pages  # noqa: E402  # lies in docs/_ext

notebook_pages.write(HERE / "tutorials", HERE / "notebooks")

if API:
    os.environ["SPHINX_APIDOC_OPTIONS"] = "members,show-inheritance"
    from sphinx.ext import apidoc

    for room, names in PACKAGES.items():
        for name in names:
            options = ["-q", "--force", "--remove-old", "--no-toc", "--module-first"]
            options += ["--templatedir", str(HERE / "_templates/apidoc"), "--output-dir", str(HERE / "api" / name)]
            excluded = [str(HERE.parent / pattern) for pattern in NOT_LIBRARIES]
            apidoc.main([*options, str(HERE.parent / room / name), *excluded])
    import command_pages

    command_pages.write(HERE / "api/commands.md")
    extensions += ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "plain_docstrings"]
    autodoc_default_options = {"ignore-module-all": True}
    autodoc_member_order = "bysource"
    autodoc_mock_imports = list(ONLY_WITH_EXTRAS)
    autodoc_preserve_defaults = True
    napoleon_custom_sections = [(name, "params_style") for name in ("Ports", "Streams", "Other ports")]
    napoleon_numpy_docstring = False
    napoleon_use_ivar = True
    suppress_warnings += ["ref.python"]  # a name in `Raises:` that several modules have
else:
    exclude_patterns += ["api"]
