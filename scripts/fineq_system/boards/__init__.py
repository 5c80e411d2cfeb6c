"""FPGA boards: definitions of amaranth-boards, builds, the link from the host."""
