"""A SoC of LiteX: VexRiscv, memory, UART and the accelerator as a bus master, with firmware in C."""
