"""Times a step and a picture on this machine and compares them with other codes; writes benches/results.md."""
