"""Registers by which a chain of jobs is started, watched and kept within bounds."""

from __future__ import annotations

from fineq_hw.interface.registers.fields import Access, Register, RegisterField, whole

CONTROL: tuple[Register, ...] = (
    Register(
        "CONTROL",
        0x020,
        "Commands; several may be given with one write.",
        (
            RegisterField(
                "start",
                0,
                1,
                "Work off the chain of descriptors that begins at DESCRIPTOR. Clears the flags `done`, `job_done` and "
                "`error` of STATUS. Refused while busy, with everything else in the same write.",
                Access.W1S,
            ),
            RegisterField(
                "soft_reset",
                1,
                1,
                "Abort: transfers under way are brought to an end, then the machine is idle, with the error ABORTED. "
                "Registers and counters keep their values. No effect on an idle machine.",
                Access.W1S,
            ),
            RegisterField("clear_counters", 2, 1, "Set all performance counters to zero.", Access.W1S),
        ),
    ),
    Register(
        "STATUS",
        0x024,
        "What the machine is doing and what has happened; the flags stay set until 1 is written to them.",
        (
            RegisterField("busy", 0, 1, "A chain is being worked off, or an abort is not finished."),
            RegisterField("done", 1, 1, "A chain has come to its end without an error.", Access.W1C),
            RegisterField(
                "error", 2, 1, "The chain was ended by an error: see ERROR. Clearing it clears ERROR too.", Access.W1C
            ),
            RegisterField(
                "access_error",
                3,
                1,
                "The bus master did what is not allowed: see ACCESS_ERROR. A running chain is not disturbed. Clearing "
                "it clears ACCESS_ERROR too.",
                Access.W1C,
            ),
            RegisterField("job_done", 4, 1, "A job whose descriptor has the flag `interrupt` is finished.", Access.W1C),
            RegisterField(
                "memory_pending",
                5,
                1,
                "A burst is under way on the memory port. On an idle machine: one that was cut off by the reset or by "
                "the watchdog. A chain may be started, but begins when the memory has ended it.",
            ),
        ),
    ),
    Register(
        "INTERRUPT_ENABLE",
        0x028,
        "Flags of STATUS, at the same bits, that raise the interrupt as long as they are set.",
        (
            RegisterField("done", 1, 1, "Interrupt on `done`.", Access.RW),
            RegisterField("error", 2, 1, "Interrupt on `error`.", Access.RW),
            RegisterField("access_error", 3, 1, "Interrupt on `access_error`.", Access.RW),
            RegisterField("job_done", 4, 1, "Interrupt on `job_done`.", Access.RW),
        ),
    ),
    Register("JOBS_DONE", 0x02C, "Jobs finished since reset; wraps around.", whole(Access.RO)),
    Register(
        "DESCRIPTOR",
        0x030,
        "Address of the first descriptor of the chain.",
        whole(Access.RW, "Read when the chain is started.", bits=64),
        bits=64,
    ),
    Register(
        "CURRENT_DESCRIPTOR",
        0x038,
        "Address of the descriptor that is being worked on, or was last.",
        whole(Access.RO, bits=64),
        bits=64,
    ),
    Register(
        "MEMORY_BASE",
        0x040,
        "First byte of the memory window: nothing below it is read or written. Not writable while busy.",
        whole(Access.RW, "Bits beyond the width of an address stay zero.", bits=64),
        bits=64,
        locked=True,
    ),
    Register(
        "MEMORY_LIMIT",
        0x048,
        "Last byte of the memory window: nothing above it is read or written. Not writable while busy.",
        whole(
            Access.RW,
            "Bits beyond the width of an address stay zero. All ones after reset.",
            value=lambda config: (1 << config.address_bits) - 1,
            bits=64,
        ),
        bits=64,
        locked=True,
    ),
)
