"""Finds noise, JPEG compression, blur and scratches from a picture alone."""
