"""What a picture says of its own degradation."""
