"""Reports of whole machines: a language model, throughput."""
