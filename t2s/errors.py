"""Every exception t2s raises on purpose.

    T2SError
    ├── ConfigError            (ValueError)  a setting is wrong, or wrong beside another
    ├── DataError              (ValueError)  examples, SQL or files do not hold what they should
    │   └── PromptTooLongError               a prompt leaves no room for its SQL
    ├── DatabaseError                        a database is missing or cannot be read
    ├── ModelUnavailableError  (OSError)     a model is neither cached nor reachable
    └── ExportError                          a trained model cannot be turned into another format

A message holds the value, the rule it breaks and the fix.
A wrong prediction is none of these: it is data, a `t2s.metrics.execution_accuracy.Verdict`.
"""

from collections.abc import Sequence
from typing import Self


class T2SError(Exception):
    """The base of all errors that t2s raises on purpose."""


class ConfigError(T2SError, ValueError):
    """A setting is wrong, or contradicts another one."""


class DataError(T2SError, ValueError):
    """Examples, SQL or files do not hold what they should.

    Attributes:
        problems: One line for each thing that is wrong; empty when the message says it all.
    """

    problems: tuple[str, ...] = ()

    @classmethod
    def from_problems(cls, problems: Sequence[str], hint: str) -> Self:
        """One error for many bad lines, so that a file is repaired in one go.

        Args:
            problems: One line for each thing that is wrong.
            hint: What the reader can do about it.

        Returns:
            The error, ready to raise; its message lists every problem and ends with the hint.
        """
        count = f"{len(problems)} problem" + ("" if len(problems) == 1 else "s")
        error = cls("\n".join([f"{count}:", *(f"  {problem}" for problem in problems), hint]))
        error.problems = tuple(problems)
        return error


class PromptTooLongError(DataError):
    """A prompt leaves no room for its SQL."""


class DatabaseError(T2SError):
    """A database is missing or cannot be read."""


class ModelUnavailableError(T2SError, OSError):
    """A model is neither cached here nor reachable."""


class ExportError(T2SError):
    """A trained model cannot be turned into another format."""
