"""A machine behind a serial line: UART, frames with checksums, memory of the FPGA, a self-test from golden vectors."""
