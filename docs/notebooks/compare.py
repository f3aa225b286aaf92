# %% [markdown]
# # Notebook: compare methods, and ask how sure they are
#
# Four samplers restore the same blurred face. We compare their error, their spread and their intervals. This takes
# half a minute on a CPU.

# %%
import matplotlib.pyplot as plt

import posteriori as pp

prior = pp.load_prior("faces-64")
x = pp.load_image("astronaut", size=64)  # (1, 3, 64, 64) on [-1, 1]
A = pp.GaussianBlur(prior.shape, sigma=1.5)
likelihood = pp.Gaussian.simulate(x, A, sigma=0.05)
print(f"y has {pp.metrics.psnr(likelihood.y, x).item():.1f} dB")

# %% [markdown]
# ## The same y, prior and random streams for all
#
# `preset` takes the settings that were tuned for this operator, prior, number of steps and noise. Every sampler draws 3
# samples in 100 steps.

# %%
methods = (pp.SDEdit, pp.DPS, pp.DDRM, pp.DiffPIR)
samples = {}  # of each sampler, (3, 3, 64, 64)
for method in methods:
    sampler = pp.preset(method, A, prior, sigma=0.05, steps=100)
    samples[sampler.name] = pp.sample(prior, likelihood, sampler, n=3, seed=0, progress=False)[0]

# %% [markdown]
# ## Which is nearest to the truth?
#
# A sample has more error than the mean of several, since it adds the posterior's spread. LPIPS prefers a sample.

# %%
print("method      PSNR: a sample  the mean   LPIPS: a sample  the mean  residual")
for name, found in samples.items():
    mean = found.mean(0, keepdim=True)
    psnr, lpips = (
        (metric(found, x.expand_as(found)).mean().item(), metric(mean, x).item())
        for metric in (pp.metrics.psnr, pp.metrics.lpips)
    )
    residual = likelihood.expand(len(found)).residual(found).square().mean().sqrt().item()
    columns = f"{psnr[0]:14.2f}  {psnr[1]:8.2f}   {lpips[0]:15.4f}  {lpips[1]:8.4f}"
    print(f"{name:10}  {columns}  {residual:8.2f}")


# %%
def show(rows, names, cmap=None, vmax=None):
    _, panels = plt.subplots(1, len(rows), figsize=(1.9 * len(rows), 2.1), layout="tight")
    for panel, picture, name in zip(panels, rows, names, strict=True):
        panel.imshow(picture.numpy(), cmap=cmap, vmin=0, vmax=vmax)
        panel.set_title(name, fontsize=9)
        panel.axis("off")


def pixels(z):
    return ((z.clamp(-1, 1) + 1) / 2).permute(1, 2, 0)


pictures = [x[0], likelihood.y[0], *(found[0] for found in samples.values())]
show([pixels(picture) for picture in pictures], ["truth", "y", *samples])

# %% [markdown]
# ## Where do the samples differ?
#
# The standard deviation over samples, averaged over channels, on one scale. Samples of DDRM and DiffPIR differ least.

# %%
show([s.std(0).mean(0) for s in samples.values()], list(samples), cmap="magma", vmax=0.3)

# %% [markdown]
# ## Do the intervals hold the truth?
#
# An interval of 90% should hold the true value in 90% of the pixels. One face says little:
# [Uncertainty](../uncertainty.md) has the coverage on 64 faces, and the factor that the intervals of each sampler need.

# %%
for name, found in samples.items():
    interval = pp.metrics.credible_interval(found, 0.9, bounds=prior.bounds)
    covered = interval.covers(x[0]).float().mean().item()
    width = (interval.high - interval.low).mean().item()
    print(f"{name:10}  covers {covered:.0%}, mean width {width:.2f}")
