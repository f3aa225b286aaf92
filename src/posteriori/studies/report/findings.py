"""Checks the report's claims against the measured numbers."""

from __future__ import annotations

import numpy as np

from posteriori.metrics.intervals import Estimate
from posteriori.studies.page import Finding
from posteriori.studies.report.experiment import OnTask, Reproduction, paired
from posteriori.studies.report.tables import longest_of, profile, seconds

#: dB that count as no loss
NEGLIGIBLE = 0.1


def findings(done: Reproduction) -> list[Finding]:
    """One finding for each claim that is checked."""
    return [
        _better(done),
        _magnitudes(done),
        _normalisation(done),
        _one_scale(done),
        _half_the_time(done),
        _fewer_steps(done),
    ]


def _verdict(*holds: bool) -> str:
    if all(holds):
        return "holds"
    return "holds in part" if any(holds) else "does not hold"


def _sign(estimate: Estimate) -> bool:
    """Whether it is above zero, by its interval if it has one."""
    return estimate.mean > 0 if np.isnan(estimate.low) else estimate.low > 0


def _better(done: Reproduction) -> Finding:
    gains = {on.task.name: paired(on.methods["dps"], on.methods["scoreald"], "psnr") for on in done.tasks}
    said = "; ".join(f"{task} {gain.text(2, '+')} dB (n = {gain.n})" for task, gain in gains.items())
    return Finding(
        "DPS reconstructs better than ScoreALD, by 3.07 dB on deconvolution (section 4.1).",
        _verdict(*map(_sign, gains.values())),
        f"DPS minus ScoreALD, each with its preset: {said}.",
    )


def _magnitudes(done: Reproduction) -> Finding:
    said, holds = [], []
    T = done.campaign.prior.schedule.end
    for on in done.tasks:
        t, found = profile(on.methods["dps"], T)
        parts = []
        for name in ("|g|", "|r|", "2|r||g|"):
            median = found[name][1]
            early, late = median[t >= 0.9 * T].mean(), median[t <= 0.1 * T].mean()
            size = f"{_three(early)} early, {_three(late)} late, largest over smallest {_three(_ratio(median))}"
            parts.append(f"{name} {size}")
            if name == "|g|":
                holds += [_ratio(median) >= 100, early > 10 * late]
        said.append(f"{on.task.name.capitalize()}: {'; '.join(parts)}")
    return Finding(
        "|g_t| varies by orders of magnitude over t, large early and small late, because |r| shrinks (section 5.1).",
        _verdict(*holds),
        "Medians over the pictures along DPS; early is t >= 0.9 T, late is t <= 0.1 T. "
        + ". ".join(said)
        + ". g is the gradient of |r|, which does not scale with |r|. The gradient of |r|^2 is 2|r||g|, and shrinks "
        "with |r|.",
    )


def _three(value: float) -> str:
    """Three digits, and thousands as "1,020"."""
    return f"{float(f'{value:.3g}'):,.0f}" if 1000 <= value < 1e6 else f"{value:.3g}"


def _ratio(values: np.ndarray) -> float:
    return float(values.max() / values.min()) if values.min() > 0 else np.inf


def _normalisation(done: Reproduction) -> Finding:
    said, holds = [], []
    for on in done.tasks:
        unit, *others = on.tuned
        gains = [(tuned.variant.formula, paired(unit.result, tuned.result, "psnr")) for tuned in others]
        holds += [_sign(gain) for _, gain in gains]
        said.append(
            f"on {on.task.name}: " + ", ".join(f"{gain.text(2, '+')} dB over {formula}" for formula, gain in gains)
        )
    return Finding(
        "Normalising the gradient is the key mechanism behind DPS's advantage (sections 1, 5.1).",
        _verdict(*holds),
        f"All scalings have the same noise and the same number of tuning runs. Gains of unit norm {'; '.join(said)}.",
    )


def _one_scale(done: Reproduction) -> Finding:
    curves = [_curve(on) for on in done.tasks]
    low, high = max(curve[0][0] for curve in curves), min(curve[0][-1] for curve in curves)
    claim = "A single scale s needs no tuning to the task (section 5.2; its own values are 0.3 and 1.0)."
    if low >= high:
        return Finding(claim, "not decided", "The scales tried on the two tasks do not overlap.")
    common = np.geomspace(low, high, 200)
    losses = np.stack([max(psnr) - np.interp(np.log(common), np.log(scale), psnr) for scale, psnr in curves])
    at = int(losses.max(0).argmin())
    own = ", ".join(
        f"{on.task.name} {scale[int(np.argmax(psnr))]:.3g}"
        for on, (scale, psnr) in zip(done.tasks, curves, strict=True)
    )
    loss = " and ".join(
        f"{value:.2f} dB on {on.task.name}" for on, value in zip(done.tasks, losses[:, at], strict=True)
    )
    return Finding(
        claim,
        "holds" if losses[:, at].max() <= NEGLIGIBLE else "holds in part" if losses[:, at].max() <= 0.5 else
        "does not hold",
        f"Best scales on the {len(done.tuning)} tuning pictures: {own}. The best common scale, {common[at]:.3g}, "
        f"loses {loss} (interpolated between the points tried).",
    )  # fmt: skip


def _curve(on: OnTask) -> tuple[list[float], list[float]]:
    """Scales and PSNR of the unit-norm search."""
    unit = on.tuned[0]
    pairs = [(unit.variant.centre * 2**e, point.psnr.mean) for e, point in unit.points.items()]
    return [scale for scale, _ in pairs], [psnr for _, psnr in pairs]


def _half_the_time(done: Reproduction) -> Finding:
    said, ratios = [], []
    for on in done.tasks:
        sdedit, dps = on.methods["sdedit"], on.methods["dps"]
        ratio = seconds(done, sdedit) / seconds(done, dps)
        ratios.append(ratio)
        said.append(f"on {on.task.name} {ratio:.2f} of DPS's time, {sdedit.calls} against {dps.calls} network calls")
    return Finding(
        "SDEdit takes roughly half the time of the gradient-based methods (section 4.4).",
        _verdict(*(0.4 <= ratio <= 0.6 for ratio in ratios)),
        f"SDEdit takes {'; '.join(said)}. It makes half of the calls, and none with a gradient.",
    )


def _fewer_steps(done: Reproduction) -> Finding:
    said, holds = [], []
    claim = "With DDIM, 50 to 100 steps would maintain the quality (section 5.4)."
    for on in done.tasks:
        longest, parts = longest_of(on), []
        for name, rungs in on.ladder.items():
            for steps, result in rungs.items():
                if 50 <= steps <= 100:
                    lost = paired(result, longest, "psnr")
                    parts.append(f"{name} at {steps} {lost.text(2, '+')} dB")
                    holds.append(lost.mean >= -NEGLIGIBLE)
        said.append(f"on {on.task.name}: {', '.join(parts)}")
    if not holds:
        return Finding(claim, "not decided", "Nothing was run in 50 to 100 steps.")
    return Finding(
        claim,
        _verdict(*holds),
        f"PSNR minus that of DPS at {max(done.scope.ladder)} steps, {'; '.join(said)}.",
    )
