"""Problems of objects: collected in their order, so that the rest of an object can be used."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

from meshproof.base.errors import BadRules
from meshproof.documents.problems import ReadObject


class Problems(list[BadRules]):
    """The problems of one object. `with problems:` ends its block at a BadRules and keeps that."""

    def __enter__(self) -> None:
        """Begin a part of the object that is read as a whole."""

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        """Keep a BadRules, with file and line; let any other exception through."""
        if isinstance(error, BadRules):
            self.append(error)
        return isinstance(error, BadRules)


def raise_first_problem(objects: Iterable[ReadObject]) -> None:
    """Raise the first problem of these objects, if they have any: who must not go on asks this."""
    for read_object in objects:
        for problem in read_object.problems:
            raise problem
