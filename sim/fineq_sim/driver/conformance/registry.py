"""How checks are listed, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.exceptions import AcceleratorError
from fineq_sim.driver.functional import TIMELESS, FunctionalTransport

Check = Callable[[Accelerator], None]


class CheckList(dict[str, Check]):
    """Checks by name, in the order in which they were defined."""

    def add(self, name: str) -> Callable[[Check], Check]:
        """Decorator of a check."""

        def register(function: Check) -> Check:
            self[name] = function
            return function

        return register


def refused(run: Callable[[], None]) -> AcceleratorError:
    try:
        run()
    except AcceleratorError as error:
        return error
    raise AssertionError("the accelerator took a descriptor that it must refuse")


def model_of(machine: Accelerator) -> Accelerator:
    config = getattr(machine.transport, "config", machine.config)
    return Accelerator(FunctionalTransport(config, memory_size=1 << 20))


def check_counters_of(
    machine: Accelerator, model: Accelerator, codes: np.ndarray, activations: np.ndarray, output: str = "sums"
) -> None:
    """Run a layer on the machine and on the functional model; their counters agree."""
    counted = []
    for each in (machine, model):
        layer = each.load_integers(codes, 0.02)
        scales = np.full(len(activations), 0.03)
        counted.append(each.run(layer, activations, output=output, scales=scales, output_scale=0.1).counters)
        each.unload(layer)
    differences = {
        name: (value, counted[1][name])
        for name, value in counted[0].values.items()
        if name not in TIMELESS and value != counted[1][name]
    }
    assert not differences, (codes.shape, activations.shape, output, differences)
