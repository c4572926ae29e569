"""The forge matrix: everything that is signed, altered in every way, against every check."""
