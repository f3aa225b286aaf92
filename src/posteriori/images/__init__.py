"""Pictures: their files, their size, and sheets of several to look at."""
