"""What a user can mend, apart from what is a bug."""

from __future__ import annotations


class PosterioriError(ValueError):
    """Something that was given cannot be used. The message is one line: what it is, what is accepted, what to do.

    Besides it, commands take an OSError, a FloatingPointError (a chain that diverged) and a MemoryError for what a user
    can mend. Whatever else reaches them is a bug, and is shown as one.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class UsageError(PosterioriError):
    """Options that do not go together, whatever the inputs are."""


#: characters of a message, which may quote a file of any size
MOST = 4000


def printable(text: str) -> str:
    """``text`` in one line that a terminal prints: what else names of files hold, as line breaks, is escaped.

    Of a text longer than ``MOST`` the middle is left out.
    """
    if len(text) > MOST:
        text = f"{text[: MOST // 2]} [...] {text[-MOST // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def sentence(error: BaseException, advice: str) -> str:
    """``error`` in one line; of a bug, that it is one, and the ``advice`` what to do about it."""
    said = str(error).strip()
    if isinstance(error, OSError) and error.errno is not None:  # the system's own words
        said = f"{error.filename or 'a file'} cannot be read or written ({error.strerror}): check it, or give another"
    if isinstance(error, (PosterioriError, OSError, FloatingPointError, MemoryError)):
        return printable(said or type(error).__name__)
    what = f"{type(error).__name__}: {said or 'no message'}".splitlines()[0]
    return f"a bug, not your mistake: {what}; {advice}"
