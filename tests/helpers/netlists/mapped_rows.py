"""A small design of four equal rows, and its mapping."""

from fineq_asic.library.pdk import find_pdk
from fineq_asic.mapping.yosys import MappingOptions, map_design

ADDER = """
module fineq_full_adder(a, b, c, sum, carry);
  input a, b, c; output sum, carry;
  assign {carry, sum} = a + b + c;
endmodule
"""


DESIGN = """
module row(clk, load, enable, data, select, total);
  input clk, load, enable; input [7:0] data, select; output reg [8:0] total;
  reg [7:0] kept;
  wire [7:0] picked = kept & select, sum, carry;
  genvar i;
  generate for (i = 0; i < 8; i = i + 1) begin : bits
    fineq_full_adder adder(.a(picked[i]), .b(data[i]), .c(total[i]), .sum(sum[i]), .carry(carry[i]));
  end endgenerate
  always @(posedge clk) if (load) kept <= data;
  always @(posedge clk) if (enable) total <= {carry, 1'b0} ^ sum;
endmodule
module top(clk, load, enable, data, select, totals);
  input clk, enable; input [3:0] load; input [7:0] data, select; output [35:0] totals;
  genvar i;
  generate for (i = 0; i < 4; i = i + 1) begin : rows
    row r(clk, load[i], enable, data, select, totals[9 * i +: 9]);
  end endgenerate
endmodule
"""


OPTIONS = MappingOptions(keep_modules=("row",))


def map_text(text, top, work, library, options=OPTIONS):
    work.mkdir(exist_ok=True)
    modules = {
        part.split("(")[0].strip(): f"module {part}" for part in (ADDER + text).split("module ")[1:] if "(" in part
    }
    for name, part in modules.items():
        (work / f"{name}.v").write_text(part.rpartition("endmodule")[0] + "endmodule\n", encoding="utf-8")
    return map_design([work / f"{name}.v" for name in modules], top, options, find_pdk(), library, work)
