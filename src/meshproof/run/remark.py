"""A remark on a place of the rules: what stands beside results in every report."""

from __future__ import annotations

from dataclasses import dataclass

from meshproof.base.place import Place


@dataclass(frozen=True)
class Remark:
    """What is to be said of one place of the user's rules.

    `code` is that of a lint finding ("" for none). Printed in one line.
    """

    place: Place
    text: str
    code: str = ""

    def __str__(self) -> str:
        return f"{self.code} {self.place}: {self.text}".lstrip()
