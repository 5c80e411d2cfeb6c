"""What cores take of FPGAs, as a table and a picture."""
