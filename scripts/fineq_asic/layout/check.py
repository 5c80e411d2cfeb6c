"""Checks an OpenROAD script without OpenROAD: syntax, commands, options, files, layers, sites and cells.

The table lists the commands that `script` uses, with the options that OpenROAD knows for them.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fineq_asic.errors import SynthesisError
from fineq_asic.layout.lef import Lef


@dataclass(frozen=True)
class Command:
    """What a command takes.

    Attributes:
        options: what each option takes: `flag`, `text`, `number`, `layer`, `layers`, `cut`, `site` or `cells`.
        arguments: what the other words are: `text`, `number`, `input`, `output`, `cells`, `range` of layers,
            `pin` of a cell, or `script`; a last `*` repeats the one before.
    """

    options: dict[str, str]
    arguments: tuple[str, ...] = ()


def _options(text: str) -> dict[str, str]:
    """`-a=number -b` to a table; an option without a kind is a flag."""
    pairs = (word.partition("=") for word in text.split())
    return {name: kind or "flag" for name, _, kind in pairs}


COMMANDS: dict[str, Command] = {
    name: Command(_options(options), tuple(arguments.split()))
    for name, arguments, options in (
        ("puts", "text", ""),
        ("exit", "", ""),
        ("expr", "text", ""),
        ("regexp", "text text text text text", ""),
        ("with_output_to_variable", "text script", ""),
        ("read_lef", "input", "-tech -library"),
        ("read_liberty", "input", ""),
        ("read_verilog", "input", ""),
        ("link_design", "text", ""),
        ("read_sdc", "input", ""),
        ("read_saif", "input", "-scope=text"),
        ("read_spef", "output", ""),
        ("write_spef", "output", ""),
        ("write_def", "output", ""),
        ("write_verilog", "output", ""),
        ("set_dont_use", "cells", ""),
        ("set_cmd_units", "", "-capacitance=text -resistance=text -time=text -distance=text"),
        ("set_layer_rc", "", "-layer=layer -via=cut -resistance=number -capacitance=number"),
        ("set_wire_rc", "", "-signal -clock -layers=layers"),
        ("set_routing_layers", "", "-signal=range -clock=range"),
        ("set_global_routing_layer_adjustment", "range number", ""),
        ("initialize_floorplan", "", "-utilization=number -aspect_ratio=number -core_space=number -site=site"),
        ("make_tracks", "", ""),
        ("add_global_connection", "", "-net=text -pin_pattern=text -power -ground"),
        ("global_connect", "", ""),
        ("set_voltage_domain", "", "-name=text -power=text -ground=text"),
        ("define_pdn_grid", "", "-name=text -voltage_domains=text"),
        ("add_pdn_stripe", "", "-grid=text -layer=layer -width=number -pitch=number -offset=number -followpins"),
        ("add_pdn_connect", "", "-grid=text -layers=layers"),
        ("pdngen", "", ""),
        ("place_pins", "", "-hor_layers=layers -ver_layers=layers"),
        ("global_placement", "", "-skip_io -routability_driven -density=number"),
        ("estimate_parasitics", "", "-placement"),
        ("repair_design", "", ""),
        ("repair_tie_fanout", "pin", "-separation=number"),
        ("detailed_placement", "", ""),
        ("clock_tree_synthesis", "", "-root_buf=cells -buf_list=cells -sink_clustering_enable"),
        ("repair_clock_nets", "", ""),
        ("set_propagated_clock", "text", ""),
        ("set_clock_latency", "number text", ""),
        ("repair_timing", "", "-setup -hold -setup_margin=number -hold_margin=number"),
        ("improve_placement", "", ""),
        ("optimize_mirroring", "", ""),
        ("check_placement", "", "-verbose"),
        ("filler_placement", "cells", ""),
        ("global_route", "", "-congestion_iterations=number"),
        ("detailed_route", "", "-output_drc=output -verbose=number"),
        ("check_antennas", "", ""),
        ("extract_parasitics", "", "-lef_rc -version=number"),
        ("report_worst_slack", "", "-max -min -digits=number"),
        ("report_checks", "", "-path_delay=text -format=text -digits=number -to=text"),
        ("concat", "*", ""),
        ("all_registers", "", "-data_pins -edge_triggered"),
        ("get_pins", "text", ""),
        ("report_clock_skew", "", "-setup -digits=number"),
        ("report_clock_latency", "", "-clocks=text -digits=number"),
        ("report_check_types", "", "-max_slew -max_capacitance -violators"),
        ("report_activity_annotation", "", ""),
        ("report_power", "", "-digits=number"),
        ("create_clock", "*", "-name=text -period=number"),
        ("set_clock_transition", "number text", ""),
        ("set_input_delay", "number text", "-clock=text"),
        ("set_output_delay", "number text", "-clock=text"),
        ("set_input_transition", "number text", ""),
        ("set_load", "number text", ""),
        ("get_ports", "text", ""),
        ("get_clocks", "text", ""),
        ("all_inputs", "", "-no_clocks"),
        ("all_outputs", "", ""),
    )
}

_CLOSING = {"{": "}", "[": "]", '"': '"'}


def split_commands(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and words of every command; braces, brackets and quotes stay around their words.

    Raises:
        SynthesisError: a brace, bracket or quote is not closed, or something follows a closing one.
    """
    words: list[str] = []
    line = start = 1
    position = 0
    while position < len(text):
        character = text[position]
        if character in "\n;":
            if words:
                yield start, words
            words = []
            line += character == "\n"
            position += 1
        elif character in " \t":
            position += 1
        elif character == "#" and not words:
            position = text.find("\n", position) if "\n" in text[position:] else len(text)
        else:
            if not words:
                start = line
            end = _word_end(text, position, line)
            word = text[position:end]
            words.append(word)
            line += word.count("\n")
            position = end
    if words:
        yield start, words


def _word_end(text: str, start: int, line: int) -> int:
    """Position behind the word that begins at `start`."""
    opened: list[str] = []
    position = start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 2
            continue
        if opened and character == opened[-1]:
            opened.pop()
            position += 1
            after = text[position : position + 1]
            if not opened and text[start] in '{"' and after not in ("", " ", "\t", "\n", ";", "]"):
                raise SynthesisError(f"line {line}: {after!r} follows a closing {character!r}")
            continue
        if not opened and character in " \t\n;":
            return position
        if character in _CLOSING and (character == "[" or position == start or opened and character == "{"):
            opened.append(_CLOSING[character])
        elif character in "}]" and not opened:
            raise SynthesisError(f"line {line}: {character!r} closes nothing")
        position += 1
    if opened:
        raise SynthesisError(
            f"line {line}: {text[start : start + 40].splitlines()[0]!r} lacks a closing {opened[-1]!r}"
        )
    return position


def check_script(text: str, lef: Lef, work: Path, inner: str = "") -> int:
    """Check a script.

    Args:
        text: the script.
        lef: layers, sites and cells that it may name.
        work: directory that all outputs must lie in.
        inner: for scripts inside commands, where they stand.

    Returns:
        The number of commands.

    Raises:
        SynthesisError: names the line and what is wrong with it.
    """
    count = 0
    for line, words in split_commands(text):
        where = inner or f"line {line}"
        name, rest = words[0], words[1:]
        if name not in COMMANDS:
            raise SynthesisError(f"{where}: unknown command {name!r}")
        _check_words(COMMANDS[name], name, rest, lef, work, where)
        count += 1
    return count


def _check_words(command: Command, name: str, words: list[str], lef: Lef, work: Path, where: str) -> None:
    arguments: list[str] = []
    remaining = iter(words)
    for word in remaining:
        if re.match(r"-[a-z]", word) and name != "puts":
            if word not in command.options:
                raise SynthesisError(f"{where}: {name} has no option {word}")
            kind = command.options[word]
            if kind != "flag":
                value = next(remaining, None)
                if value is None:
                    raise SynthesisError(f"{where}: {word} of {name} needs a value")
                _check_value(kind, value, f"{where}: {word} of {name}", lef, work)
        else:
            arguments.append(word)
    if command.arguments == ("*",):
        kinds = ("text",) * len(arguments)
    else:
        kinds = command.arguments
    if len(kinds) != len(arguments):
        raise SynthesisError(f"{where}: {name} takes {len(kinds)} arguments, not {len(arguments)}")
    for kind, value in zip(kinds, arguments, strict=True):
        _check_value(kind, value, f"{where}: {name}", lef, work)


def _check_value(kind: str, value: str, where: str, lef: Lef, work: Path) -> None:
    if value.startswith("["):
        check_script(value[1:-1], lef, work, where)
        return
    plain = value.strip('{}"')
    if kind == "number":
        if not re.fullmatch(r"-?\d+(\.\d*)?(e-?\d+)?", plain):
            raise SynthesisError(f"{where} is {plain!r}, not a number")
    elif kind in ("layer", "layers", "cut", "range"):
        wanted = "CUT" if kind == "cut" else "ROUTING"
        for layer in plain.split("-") if kind == "range" else plain.split():
            if layer not in lef.layers or lef.layers[layer].kind != wanted:
                raise SynthesisError(f"{where}: the LEF has no {wanted.lower()} layer {layer!r}")
    elif kind == "site":
        if plain not in lef.sites:
            raise SynthesisError(f"{where}: the LEF has no site {plain!r}")
    elif kind == "cells":
        for pattern in plain.split():
            if not fnmatch.filter(lef.macros, pattern):
                raise SynthesisError(f"{where}: the LEF has no cell {pattern!r}")
    elif kind == "pin":
        cell, _, pin = plain.partition("/")
        if cell not in lef.macros or pin not in lef.macros[cell].pins:
            raise SynthesisError(f"{where}: the LEF has no cell {cell!r} with a pin {pin!r}")
    elif kind == "input":
        if not Path(plain).is_file():
            raise SynthesisError(f"{where}: there is no file {Path(plain).name}")
    elif kind == "output":
        if Path(plain).parent != work:
            raise SynthesisError(f"{where}: {plain} lies outside the directory of the run")
    elif kind == "script":
        check_script(plain if value.startswith("{") else value, lef, work, where)
