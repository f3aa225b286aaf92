"""Where priors come from: the package, a folder, a checkpoint that a card describes, or a Hub."""
