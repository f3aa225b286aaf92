"""The report "Diffusion Models for Solving Inverse Problems", repeated, with intervals."""
