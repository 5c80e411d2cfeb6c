"""Goes through an OpenROAD script with a Tcl interpreter and without OpenROAD: is every command well formed?

The interpreter is the one that Python carries for tkinter. Commands of OpenROAD are unknown to it and only counted;
all that Tcl itself does (words, quotes, brackets, variables, expressions) is done for real. The interpreter is a safe
one: a script can reach no file and no program.
"""

from __future__ import annotations

import re

from fineq_asic.errors import SynthesisError

_STUBS = r"""
interp create -safe dry
dry eval {
    set commands 0
    proc unknown {args} {incr ::commands; return 1}
    proc puts {args} {incr ::commands}
    proc exit {} {incr ::commands}
    proc with_output_to_variable {name script} {
        incr ::commands
        upvar 1 $name text
        uplevel 1 $script
        set text "0.1  0.2 latency"
    }
}
"""


def check_tcl(script: str, name: str) -> int | None:
    """Go through a script.

    Args:
        script: its text.
        name: of its file, for the error.

    Returns:
        How many commands of OpenROAD it gave, those in brackets included; None if this Python has no Tcl.

    Raises:
        SynthesisError: says what Tcl found.
    """
    try:
        from tkinter import Tcl, TclError
    except ImportError:
        return None
    tcl = Tcl()
    tcl.eval(_STUBS)
    try:
        tcl.call("dry", "eval", script)
    except TclError as error:
        found = re.search(r'while executing\s+"(.*?)\.{0,3}"$', tcl.getvar("errorInfo"), re.MULTILINE | re.DOTALL)
        command = found.group(1).strip().splitlines()[0] if found else ""
        text = " ".join(str(error).split())
        raise SynthesisError(f"{name}: Tcl does not take {command!r}: {text}") from None
    return int(tcl.eval("dry eval {set commands}"))
