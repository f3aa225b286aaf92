"""Schedules as diffusers' ``scheduler_config.json`` says them, read and written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args, get_type_hints

import numpy as np
from annotated_types import Ge, Gt, Le

from posteriori.bounds import check
from posteriori.errors import PosterioriError
from posteriori.schedule import RectifiedFlow, Schedule, VPSchedule, cosine_betas

SCHEDULES = "linear, scaled_linear, squaredcos_cap_v2 or trained_betas"


@dataclass(frozen=True)
class _Betas:
    """What a scheduler's configuration says of its betas; the defaults are diffusers'."""

    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"]
    num_train_timesteps: Annotated[int, Ge(2), Le(100_000)] = 1000
    beta_start: Annotated[float, Gt(0), Le(1)] = 1e-4
    beta_end: Annotated[float, Gt(0), Le(1)] = 0.02


def is_flow(config: Mapping[str, Any]) -> bool:
    """Whether a scheduler's configuration is of flow matching."""
    return str(config.get("_class_name")).startswith("FlowMatch")


def schedule_from_config(config: Mapping[str, Any]) -> Schedule:
    """The schedule of a diffusers scheduler's configuration; PosterioriError where it is not one of ours.

    A flow-matching scheduler's ``shift`` and other spacings choose levels to visit, and none that a network knows.
    """
    if not is_flow(config):
        return betas_from_config(config)
    if config.get("invert_sigmas"):
        raise PosterioriError("invert_sigmas is true: its time runs from noise to the image, which no prior here has")
    levels = config.get("num_train_timesteps", 1000)
    if type(levels) is not int or not 2 <= levels <= 100_000:
        raise PosterioriError(f"num_train_timesteps is {levels!r}: give a whole number from 2 up to 100000")
    return RectifiedFlow(levels)


def betas_from_config(config: Mapping[str, Any]) -> VPSchedule:
    """The schedule of a diffusers scheduler with betas; PosterioriError where it is not one of ours."""
    if config.get("rescale_betas_zero_snr"):
        raise PosterioriError(
            "rescale_betas_zero_snr is true: its last level has no signal, which no prior here can use"
        )
    if (betas := config.get("trained_betas")) is not None:
        if not isinstance(betas, list | tuple) or not all(type(beta) in (int, float) for beta in betas) or not betas:
            raise PosterioriError("trained_betas are not a list of numbers: get the folder again")
        return VPSchedule(betas)
    if config.get("beta_schedule") not in get_args(get_type_hints(_Betas)["beta_schedule"]):
        raise PosterioriError(f"beta_schedule is {config.get('beta_schedule')!r}: there are {SCHEDULES}")
    own = _Betas(**{field.name: config[field.name] for field in fields(_Betas) if field.name in config})
    check(own)
    first, last, T = own.beta_start, own.beta_end, own.num_train_timesteps
    if own.beta_schedule == "linear":
        return VPSchedule(np.linspace(first, last, T))
    if own.beta_schedule == "scaled_linear":
        return VPSchedule(np.linspace(math.sqrt(first), math.sqrt(last), T) ** 2)
    return cosine_betas(T)


def schedule_config(schedule: VPSchedule) -> dict[str, Any]:
    """What says ``schedule`` in a diffusers scheduler's configuration."""
    T, first, last = schedule.T, float(schedule.betas[0]), float(schedule.betas[-1])
    if np.array_equal(schedule.betas, np.linspace(first, last, T)):
        return {"beta_schedule": "linear", "beta_start": first, "beta_end": last, "num_train_timesteps": T}
    if np.array_equal(schedule.betas, cosine_betas(T).betas):
        return {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": T}
    return {"trained_betas": schedule.betas.tolist(), "num_train_timesteps": T}
