"""The table of SRAM figures is made by a command: here with a program that stands for CACTI."""

import pytest

from fineq_sim.energy import cacti
from fineq_sim.energy.cacti import CactiError, make_table
from fineq_sim.energy.sram import CELLS, TABLE

PROGRAM = r"""#!/bin/sh
file="$2"
size=$(sed -n 's/^-size (bytes) //p' "$file"); bits=$(sed -n 's/^-output.input bus width //p' "$file")
grep -q 'itrs-hp' "$file" && exit 3
echo 'Dynamic read energy (nJ), Dynamic write energy (nJ), Standby leakage per bank(mW), Area (mm2)' > "$file.out"
echo "0.$bits, 0.002, 1.5, 0.$size" >> "$file.out"
"""


def test_table(tmp_path, monkeypatch):
    monkeypatch.setattr(cacti, "sizes", lambda: iter([(32, 64), (64, 128)]))
    program = tmp_path / "cacti" / "cacti"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (tmp_path / "default_cfg.cfg").write_text('-Data array cell type - "itrs-lstp"\n')
    said = []
    assert make_table(tmp_path, tmp_path / "t.csv", said.append) == 4
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[2:4] == ["words,bits,cell,read,write,leakage,area", "32,64,lop,640,2,1.5,0.256"]
    assert [line for line in said if "hp" in line] == said and len(said) == 2


def test_without_cacti(tmp_path):
    with pytest.raises(CactiError, match="unpack hwcomponents-cacti"):
        make_table(tmp_path, tmp_path / "t.csv")


def test_the_table_has_what_the_command_would_make():
    rows = [line.split(",")[:3] for line in TABLE.read_text().splitlines() if not line.startswith("#")][1:]
    wanted = [[str(words), str(bits), cell] for words, bits in cacti.sizes() for cell in CELLS]
    assert rows == wanted
