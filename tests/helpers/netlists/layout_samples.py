"""Small netlists for the tests of the layout flow, and what the layout tool writes of one."""

from helpers.netlists.ppa_netlists import netlist_of

from fineq_asic.netlist.netlist import Instance, Module, Netlist, Port


def registered_and():
    """Two inputs, an AND and a flip-flop."""
    return netlist_of(
        ["clk", "a", "b"],
        ["q"],
        [("AND2_X1", {"A1": "a", "A2": "b", "ZN": "d"}), ("DFF_X1", {"CK": "clk", "D": "d", "Q": "q"})],
    )


def two_rows():
    """A top with two copies of a module `row` (an inverter) in series."""
    row = Module(
        "row",
        {"x": Port("input", [1]), "y": Port("output", [2])},
        [Instance("invert", "INV_X1", {"A": [1], "ZN": [2]})],
    )
    rows = [Instance(f"row_{i}", "row", {"x": [1 + i], "y": [2 + i]}) for i in range(2)]
    top = Module("top", {"a": Port("input", [1]), "z": Port("output", [3])}, rows)
    return Netlist("top", {"top": top, "row": row})


DEF = """VERSION 5.8 ;
DESIGN top ;
UNITS DISTANCE MICRONS 2000 ;
DIEAREA ( 0 0 ) ( 20000 10000 ) ;
ROW ROW_0 FreePDK45_38x28_10R_NP_162NW_34O 2000 2800 N DO 20 BY 1 STEP 380 0 ;
ROW ROW_1 FreePDK45_38x28_10R_NP_162NW_34O 2000 5600 FS DO 20 BY 1 STEP 380 0 ;
VIAS 1 ;
    - pdn_via + VIARULE Via1Array-0 + CUTSIZE 140 140  + LAYERS metal1 via1 metal2  + CUTSPACING 160 160
      + ENCLOSURE 70 60 70 50  + ROWCOL 1 2  ;
END VIAS
COMPONENTS 4 ;
    - and2_x1_0 AND2_X1 + PLACED ( 2000 2800 ) N ;
    - dff_x1_1 DFF_X1 + PLACED ( 2000 5600 ) FS ;
    - u_7 BUF_X4 + SOURCE TIMING + PLACED ( 8000 2800 ) S ;
    - FILLER_0_1 FILLCELL_X4 + SOURCE DIST + PLACED ( 8400 5600 ) FN ;
END COMPONENTS
PINS 2 ;
    - a + NET a + DIRECTION INPUT + USE SIGNAL
      + PORT
        + LAYER metal3 ( -70 -70 ) ( 70 70 )
        + PLACED ( 70 3000 ) N ;
    - VDD + NET VDD + SPECIAL + DIRECTION INOUT + USE POWER
      + PORT
        + LAYER metal7 ( -70 -70 ) ( 70 70 )
        + FIXED ( 70 5000 ) N ;
END PINS
SPECIALNETS 1 ;
    - VDD ( * VDD ) + USE POWER
      + ROUTED metal1 340 + SHAPE FOLLOWPIN ( 2000 2800 ) ( 9600 2800 )
      NEW metal1 0 + SHAPE STRIPE ( 4000 2800 ) pdn_via ;
END SPECIALNETS
NETS 3 ;
    - a ( PIN a ) ( and2_x1_0 A1 ) + USE SIGNAL
      + ROUTED metal3 ( 70 3000 ) ( 4070 * )
      NEW metal2 ( 4070 3000 ) ( * 3600 0 ) via1_4
      NEW metal2 ( 4070 3000 ) RECT ( -70 -100 70 100 ) ;
    - clk ( PIN clk ) ( u_7 A ) + USE CLOCK
      + ROUTED metal4 TAPER ( 6000 3000 ) ( * 7000 ) ;
    - behind ( u_7 Z )
      ( dff_x1_1 CK ) + USE CLOCK ;
END NETS
END DESIGN
"""


OUTPUT = """OpenROAD
FINEQ: routing
Total wire length on LAYER metal2 = 9 um.
Total wire length on LAYER metal2 = 0 um.
Total wire length on LAYER metal3 = 2 um.
Total wire length on LAYER metal4 = 2 um.
FINEQ: worst slack
worst slack max 1.2345
worst slack min -0.0100
FINEQ: setup path
   0.10    0.10 ^ a (in)
   0.05    0.15 ^ and2_x1_0/ZN (AND2_X1)
           1.2345   slack (MET)
   0.05    0.15 ^ and2_x1_0/ZN (AND2_X1)
           1.5000   slack (MET)
FINEQ: clock skew
Clock clk
-------------------------------------------
  -0.0123 setup skew
FINEQ: clock latency
Clock clk
rise -> rise
 0.1000  0.2000 latency
         0.1000 skew
FINEQ: electrical violations
pin/A  0.20  0.30  -0.10 (VIOLATED)
FINEQ: activity
saif           9
unannotated    3
FINEQ: power
Group                  Internal  Switching    Leakage      Total
                          Power      Power      Power      Power (Watts)
----------------------------------------------------------------
Sequential           1.000000e-05 2.000000e-06 3.000000e-07 1.230000e-05  60.0%
Clock                4.000000e-06 3.000000e-06 2.000000e-07 7.200000e-06  40.0%
Macro                0.000000e+00 0.000000e+00 0.000000e+00 0.000000e+00   0.0%
----------------------------------------------------------------
Total                1.400000e-05 5.000000e-06 5.000000e-07 1.950000e-05 100.0%
FINEQ: end
"""
