"""The accelerator in a system: a RISC-V SoC around it, and FPGA boards."""
