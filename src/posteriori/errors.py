"""What a user can mend, apart from what is a bug."""

from __future__ import annotations


class PosterioriError(ValueError):
    """Something that was given cannot be used. The message is one line: what it is, what is accepted, what to do.

    Besides it, commands take an OSError, a FloatingPointError (a chain that diverged) and a MemoryError for what a user
    can mend. Whatever else reaches them is a bug, and is shown as one.
    """


class UsageError(PosterioriError):
    """Options that do not go together, whatever the inputs are."""
