"""The cause that several broken cases share: written once, with all that it breaks."""

from __future__ import annotations

from dataclasses import dataclass

from meshproof.base.place import Place


@dataclass(frozen=True)
class Cause:
    """Why cases are broken, as fields; equal causes are one.

    `what` says in one line what is wrong, at `place`. `detail` says why, `repairs` are
    the ways to mend it, `code` is that of the lint finding, each empty if there is none.
    """

    what: str
    place: Place
    detail: str = ""
    repairs: tuple[str, ...] = ()
    code: str = ""

    @property
    def why(self) -> str:
        """The detail with the code of the lint finding."""
        code = f"({self.code})" if self.code else ""
        return " ".join(part for part in (self.detail, code) if part)

    @property
    def repair(self) -> str:
        """The ways to mend it, in one line."""
        return "; or, ".join(self.repairs)
