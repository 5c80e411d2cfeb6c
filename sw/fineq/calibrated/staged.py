"""One decoder block whose layers are quantized group by group, without running the whole of it for every group.

What a group of layers sees depends on the layers before it alone. So a pass ends where the group begins, and the
outputs of modules whose layers are all done are kept and handed out again instead of being computed once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from fineq.calibrated.capture import BlockRunner
from fineq.models.activations import watch_activations

Take = Callable[[int, str, Tensor], None]
"""Called with the number of a batch, a layer and its inputs [tokens, in] in that batch."""


class StagedBlock:
    """A block on its way from full precision to quantized.

    Args:
        runner: of the model.
        number: of the block.
        kept: its layers that stay as they are.
    """

    def __init__(self, runner: BlockRunner, number: int, kept: Iterable[str] = ()):
        self.runner, self.number = runner, number
        self._done = set(kept)
        self._outputs: dict[str, dict[int, Any]] = {}
        self._unsteady: set[str] = set()

    def mark_done(self, names: Iterable[str]) -> None:
        """These layers have their final weights."""
        self._done.update(names)

    def run(self, hidden: Tensor, names: list[str], take: Take, to_end: bool = False) -> Tensor | None:
        """One pass over all windows.

        Args:
            hidden: what enters the block, [windows, length, width].
            names: layers whose inputs are wanted.
            take: gets the inputs.
            to_end: do not stop when all inputs are known.

        Returns:
            What leaves the block if `to_end`.
        """
        outputs = []
        missing: set[str] = set()

        def observe(name: str, values: Tensor) -> None:
            take(batch, name, values)
            missing.discard(name)
            if not missing and not to_end:
                raise _Enough

        with watch_activations(self.runner.model, names, observe), torch.no_grad():
            for batch, part in enumerate(self.runner.batches(hidden)):
                missing.update(names)
                with self._kept_outputs(batch, record=not to_end):
                    try:
                        outputs.append(self.runner.run(self.number, part))
                    except _Enough:
                        pass
        self._drop_inner_outputs()
        return torch.cat(outputs) if to_end else None

    def finish(self, hidden: Tensor) -> Tensor:
        """What leaves the block when all layers are done: [windows, length, width]."""
        result = self.run(hidden, [], lambda batch, name, values: None, to_end=True)
        assert result is not None
        self._outputs.clear()
        return result

    def _ready(self) -> dict[str, nn.Module]:
        """Modules inside the block whose layers are all done, by path in the model."""
        prefix = self.runner.names[self.number]
        linears = self.runner.linears(self.number)
        ready = {}
        for path, module in self.runner.blocks[self.number].named_modules(prefix=prefix):
            inside = [name for name in linears if name == path or name.startswith(f"{path}.")]
            if path != prefix and path not in self._unsteady and inside and self._done.issuperset(inside):
                ready[path] = module
        return ready

    @contextmanager
    def _kept_outputs(self, batch: int, record: bool) -> Iterator[None]:
        """Inside, modules that are ready hand out what they put out before; the outermost are recorded."""
        ready = self._ready()
        calls = dict.fromkeys(ready, 0)

        def replace(path: str, module: nn.Module) -> None:
            forward = module.forward
            is_outermost = not any(path.startswith(f"{other}.") for other in ready)

            def replay(*arguments: Any, **keywords: Any) -> Any:
                calls[path] += 1
                known = self._outputs.get(path, {})
                if calls[path] == 1 and batch in known:
                    return tree_map(_copied, known[batch])
                result = forward(*arguments, **keywords)
                if calls[path] > 1:  # which call is which is not known: its outputs cannot be kept
                    self._unsteady.add(path)
                elif record and is_outermost:
                    self._outputs.setdefault(path, {})[batch] = tree_map(_copied, result)
                return result

            module.forward = replay

        for path, module in ready.items():
            replace(path, module)
        try:
            yield
        finally:
            for module in ready.values():
                del module.forward  # the class's own is seen again
            for path in self._unsteady:
                self._outputs.pop(path, None)

    def _drop_inner_outputs(self) -> None:
        """Of modules inside others whose outputs are kept, nothing is needed any more."""
        for path in list(self._outputs):
            if any(path.startswith(f"{other}.") for other in self._outputs):
                del self._outputs[path]


class _Enough(Exception):
    """Ends a run of the block once the wanted inputs are known."""


def _copied(value: Any) -> Any:
    """A tensor in memory of its own, so that nobody changes what is kept."""
    return value.detach().clone() if isinstance(value, Tensor) else value
