"""Random damage and random use, for as long as one likes: packed files, and machines (docs/flows/verification.md)."""
