"""The MAC array built by hand, with everything that the temporal array gained from: the rival to beat.

Weights become signed digits once per column, above the array. An element selects multiples of its activation, which
are complemented and free of signs, and full adders written out add them to the partial sum. What complements and signs
leave out depends on the weights alone; it is counted once per vector and added in the accumulators.
"""
