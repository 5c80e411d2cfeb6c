"""What a machine is asked to do: the matrix products of a language model or of a file, by pass; no machine, no time."""
