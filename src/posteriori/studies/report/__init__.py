"""The report "Diffusion Models for Solving Inverse Problems", made again from runs, with intervals."""
