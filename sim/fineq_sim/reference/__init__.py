"""What the hardware must compute and how long it may take, written from the documents: no circuit in here."""
