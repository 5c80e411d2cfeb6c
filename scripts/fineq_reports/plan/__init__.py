"""How long a large model takes on several machines, and what of memory, disk and network: from rates measured here."""
