"""The temporal codes of the array, one file each behind one interface (`base.Encoding`).

The components of the array (`TemporalEncoder`, `ProcessingElement`, `Accumulator`, `ControlUnit`, `ProcessingArray`)
ask the encoding of their configuration for everything in which encodings differ. So who wants to read the paper's
array reads the components and `unary`, and can leave the other files here alone. They are:

* `base`: what an encoding says, and the groups of columns and adder-tree operands ("slots") it says it about;
* `one_digit`, `two_digits`: select lines and select networks that two encodings each share;
* `unary` (the paper's), `two_s_unary`, `bitplane`, `parallel`, `cluster`: the encodings;
* `registry`: all of them by name.

To add an encoding:

1. Pace: name it at the end of `ENCODINGS` in `fineq.format.temporal` (its place is its number in the register map), and
   give its pulses in `PULSES` there. If its steps do not follow from the magnitudes alone, as those of `cluster`, give
   `MAX_CYCLES`, `STEP_BITS` and `array_cycles` there instead.
2. Hardware: one file here with a class derived from `OneDigit` or `TwoDigits`, or from `Encoding` itself. It defines
   what its base class leaves open, and overrides what it does differently, an encoder of its own included.
3. Registration: one line in `registry.ENCODINGS`.

`fineq_hw.config.ARRAYS` then has arrays with it in every size, and `tests/hw/array/test_core.py` and the regression
(`fineq sim`) run them. The testbenches of encoder and element spell out select lines on their own; new lines need a
few lines there.
"""
