"""What a job is, and the name that follows from its settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import cached_property
from typing import Any

from posteriori import __version__


class Job:
    """A frozen dataclass of everything that decides a result, and of nothing else."""

    @property
    def settings(self) -> dict[str, Any]:
        """As JSON has them: the fields, unless a job says it otherwise."""
        return as_json(asdict(self))  # ty: ignore[invalid-argument-type]

    @cached_property
    def key(self) -> str:
        """The name of its result: of the same settings the same, of others another."""
        named = {"posteriori": __version__, "job": type(self).__name__, **self.settings}
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def size(self) -> int:
        """How many of what people count it does."""
        return 1

    @property
    def label(self) -> str:
        """What people call it, in a few words."""
        return self.key


def as_json(settings: Any) -> Any:
    """``settings`` as they are when they come back from a file."""
    return json.loads(json.dumps(settings))
