// What the cells at the edge of an FPGA do, as far as the boards' tops use them: buffers, and a start-up register.

module SB_IO (
    inout  PACKAGE_PIN,
    input  LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1,
    output D_IN_0, D_IN_1
);
    parameter [5:0] PIN_TYPE = 6'b000000;
    parameter [0:0] PULLUP = 1'b0;
    parameter [0:0] NEG_TRIGGER = 1'b0;
    parameter IO_STANDARD = "SB_LVCMOS";
    wire driven = PIN_TYPE[5:2] == 4'b0110 || (PIN_TYPE[5:2] == 4'b1010 && OUTPUT_ENABLE);
    assign PACKAGE_PIN = driven ? D_OUT_0 : 1'bz;
    assign D_IN_0 = PACKAGE_PIN;
    assign D_IN_1 = PACKAGE_PIN;
endmodule

module SB_GB_IO (
    inout  PACKAGE_PIN,
    input  LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1,
    output D_IN_0, D_IN_1, GLOBAL_BUFFER_OUTPUT
);
    parameter [5:0] PIN_TYPE = 6'b000000;
    parameter [0:0] PULLUP = 1'b0;
    parameter [0:0] NEG_TRIGGER = 1'b0;
    parameter IO_STANDARD = "SB_LVCMOS";
    assign D_IN_0 = PACKAGE_PIN;
    assign D_IN_1 = PACKAGE_PIN;
    assign GLOBAL_BUFFER_OUTPUT = PACKAGE_PIN;
endmodule

module IB (input I, output O);
    assign O = I;
endmodule

module OB (input I, output O);
    assign O = I;
endmodule

module OBZ (input I, T, output O);
    assign O = T ? 1'bz : I;
endmodule

module FD1S3AX (input CK, D, output reg Q);
    parameter GSR = "ENABLED";
    initial Q = 1'b0;
    always @(posedge CK) Q <= D;
endmodule

module SGSR (input CLK, GSR);
endmodule
