"""Multi-operand addition with the fewest full adders, written out cell by cell.

A behavioural sum of 64 operands costs a logic optimiser minutes and comes out larger than it need be.
"""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq_hw.cells.adder_cells import FullAdder, HalfAdder
from fineq_hw.cells.compression import Bit, Compression, compress
from fineq_hw.config import ADDER_TREES
from fineq_hw.lib.hierarchy import CombinationalComponent, place
from fineq_hw.lib.role import PART, CoreBlock, Role


class AdderTree(CombinationalComponent):
    """Sum of unsigned operands and a constant, modulo 2 ** `sum_bits`. Combinational.

    Two's complement operands work as well if they are `sum_bits` wide.

    Ports:
        operands: struct of `operand_0`, `operand_1` and so on.
        sum: `sum_bits` wide.

    Args:
        operand_bits: width of each operand.
        sum_bits: width of the sum.
        constant: number to add, possibly negative.
        shifts: each operand counts 2 ** shift times; all 0 if absent.
        arrivals: when each operand is ready, in the units of `compression`; all 0
            if absent. Affects the shape of the tree, not its function.
        structure: one of `ADDER_TREES`.
        ripple_columns: lowest bits whose final carry chain is also made of adder cells; the two numbers
            that remain above are added with `+`, which synthesis turns into a fast adder.
        module_parameters: what tells the tree from others in the name of its module; whoever places it knows.

    Raises:
        ValueError: no operand, a width below 1, an unknown structure.
    """

    KIND = "adder_tree"
    ROLE = PART

    def __init__(
        self,
        operand_bits: Sequence[int],
        sum_bits: int,
        *,
        constant: int = 0,
        shifts: Sequence[int] | None = None,
        arrivals: Sequence[int] | None = None,
        structure: str = "structural",
        ripple_columns: int = 0,
        module_parameters: tuple[object, ...] = (),
    ) -> None:
        if not operand_bits:
            raise ValueError("operand_bits is empty: an adder tree needs at least one operand")
        if min(operand_bits) < 1 or sum_bits < 1:
            raise ValueError("operand_bits and sum_bits must be at least 1")
        if structure not in ADDER_TREES:
            raise ValueError(f"structure is {structure!r}: choose one of {', '.join(ADDER_TREES)}")
        if arrivals is not None and len(arrivals) != len(operand_bits):
            raise ValueError(f"arrivals has {len(arrivals)} entries for {len(operand_bits)} operands: give one each")
        if shifts is not None and (len(shifts) != len(operand_bits) or min(shifts) < 0):
            raise ValueError(f"shifts is {list(shifts)} for {len(operand_bits)} operands: give one each, at least 0")
        self.operand_bits = tuple(operand_bits)
        self.sum_bits = sum_bits
        self.constant = constant % (1 << sum_bits)
        self.shifts = tuple(shifts) if shifts is not None else (0,) * len(operand_bits)
        self.arrivals = tuple(arrivals) if arrivals is not None else (0,) * len(operand_bits)
        self.structure = structure
        self.ripple_columns = ripple_columns
        self._module_parameters = module_parameters
        layout = data.StructLayout({f"operand_{i}": bits for i, bits in enumerate(operand_bits)})
        super().__init__({"operands": In(layout), "sum": Out(sum_bits)})

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return self._module_parameters

    def compression(self) -> Compression:
        """The compression that the structural tree consists of."""
        columns: list[list[Bit]] = [[] for _ in range(self.sum_bits)]
        for operand, arrival in enumerate(self.arrivals):
            shift = self.shifts[operand]
            for index in range(min(self.operand_bits[operand], self.sum_bits - shift)):
                columns[index + shift].append(Bit(arrival, ("input", operand, index)))
        return compress(columns, self.constant, self.ripple_columns)

    def elaborate(self, platform) -> Module:
        m = Module()
        operands = [self.operands[f"operand_{i}"] for i in range(len(self.operand_bits))]
        if self.structure == "behavioural":
            shifted = [operand << shift for operand, shift in zip(operands, self.shifts, strict=True)]
            terms: list[Value] = [*shifted, *([Const(self.constant)] if self.constant else [])]
            while len(terms) > 1:  # balanced, so that widths grow only as needed
                terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)] + terms[len(terms) & ~1 :]
            m.d.comb += self.sum.eq(terms[0])
            return m
        self._elaborate_structural(m, operands)
        return m

    def _elaborate_structural(self, m: Module, operands: list[Value]) -> None:
        compression = self.compression()
        outputs: list[dict[str, Value]] = []

        def wire(bit: Bit) -> Value:
            match bit.source:
                case ("one",):
                    return Const(1, 1)
                case ("input", operand, index):
                    return operands[operand][index]
                case (cell, output):
                    return outputs[cell][output]

        for number, cell in enumerate(compression.cells):
            wires = [wire(bit) for bit in cell.inputs]
            if cell.kind == "half_one":
                outputs.append({"sum": ~wires[0], "carry": wires[0]})
            elif cell.kind == "full_one":
                outputs.append({"sum": ~(wires[0] ^ wires[1]), "carry": wires[0] | wires[1]})
            else:
                adder = FullAdder() if cell.kind == "full" else HalfAdder()
                place(m, f"adder_{number}", adder)
                m.d.comb += [getattr(adder, port).eq(w) for port, w in zip("abc", wires, strict=False)]
                outputs.append({"sum": adder.sum, "carry": adder.carry})

        left = compression.columns
        rows = [Cat(wire(bits[row]) if row < len(bits) else Const(0, 1) for bits in left) for row in range(2)]
        done = next((i for i, bits in enumerate(left) if len(bits) > 1), self.sum_bits)
        upper = Signal(self.sum_bits - done) if done < self.sum_bits else Const(0, 0)
        if done < self.sum_bits:
            m.d.comb += upper.eq(rows[0][done:] + rows[1][done:])
        m.d.comb += self.sum.eq(Cat(rows[0][:done], upper))


class Popcount(AdderTree):
    """Adder tree that counts ones: as many 1-bit operands as `lines`, carry chain made of adder cells."""

    KIND = "popcount"
    ROLE = Role(CoreBlock.SIGN_CORRECTION)

    def __init__(self, lines: int, structure: str) -> None:
        bits = lines.bit_length()
        parameters = (lines, *([] if structure == "structural" else [structure]))
        super().__init__([1] * lines, bits, structure=structure, ripple_columns=bits, module_parameters=parameters)
