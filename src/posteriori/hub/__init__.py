"""How a prior gets here: embedded, from a folder, a checkpoint that a card knows, or a Hub."""
