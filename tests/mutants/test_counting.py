"""A fault in what a performance counter counts: nothing at the ports but the counter shows it."""

import pytest

from fineq_hw.accelerator import make_accelerator
from fineq_hw.config import ACCELERATORS
from fineq_hw.export.conversion import collect, convert
from fineq_mutants.circuits import Circuit, identity, to_json
from fineq_mutants.counting import Counting, machines
from fineq_mutants.operators import sites
from fineq_mutants.sampling import Mutant
from fineq_mutants.verdicts import NotKept, Verdicts
from fineq_sim.runs.runner import default_cache

NAME = "accelerator_5x7"


def test_machines_are_found_among_other_configurations():
    config = ACCELERATORS[NAME]
    assert machines({"array": config.array, NAME: config}) == {NAME: config}


@pytest.mark.regress
def test_a_counter_that_counts_something_else_is_noticed(tmp_path):
    config = ACCELERATORS[NAME]
    texts, manifest = collect({NAME: make_accelerator(config)}, emit_src=True)
    delivered, _ = convert({NAME: make_accelerator(config)})
    netlist = to_json({NAME: texts[NAME]}, manifest)[NAME]
    circuit = Circuit(NAME, "accelerator", identity(NAME, delivered[NAME]), netlist, {})
    found = [site for site in sites(circuit.copy()) if site.kind == "operator" and site.cell_type == "$and"]
    mutants = [Mutant(number, "accelerator", NAME, site) for number, site in enumerate(found, 1)]
    verdicts = Verdicts(tmp_path / "kept")
    counting = Counting(NAME, config, {NAME: circuit}, mutants, tmp_path / "work", default_cache(), verdicts)
    assert counting.modules == {NAME: counting.design.top}
    with pytest.raises(NotKept):
        counting.noticed(mutants[0], only_kept=True)
    noticed = [counting.noticed(mutant, only_kept=False) for mutant in mutants]
    assert sum(text is not None and "_stall" in text for text in noticed) >= 3, noticed
    assert [counting.noticed(mutant, only_kept=True) for mutant in mutants] == noticed
