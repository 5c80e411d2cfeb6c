"""A machine behind a serial line (`fineq_hw.interface.link`): frames, and the driver's transports over them."""
