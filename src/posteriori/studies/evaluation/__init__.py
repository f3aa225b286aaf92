"""How good a prior is."""
