"""Power, performance and area of the arrays in FreePDK45: mapping, timing, and power from real activity."""
