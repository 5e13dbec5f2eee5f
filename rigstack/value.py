"""Frozen, keyword-only values that cost next to nothing to define.

`dataclasses` compiles six methods a class, 0.4 ms each time the command line starts; with the forty values of
rigstack that was a fifth of `rigstack up` on a rig with nothing to do. These share their methods instead, and type
checkers treat them as dataclasses (PEP 681).
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, dataclass_transform


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Value:
    """A base for values: fields are the class's annotations, defaults its attributes.

    `class Port(Value): number: int; open: bool = False` gives Port(number=22), equality, hash and repr.
    Fields named in `_hidden` stay out of repr. Assigning to a field raises AttributeError; a wrong or missing
    argument raises TypeError.
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    _hidden: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        own = [name for name in getattr(cls, "__annotations__", ()) if not name.startswith("_")]
        cls._fields = tuple(dict.fromkeys((*cls._fields, *own)))

    def __init__(self, **given: Any) -> None:
        values = self.__dict__
        for name in self._fields:
            if name in given:
                values[name] = given.pop(name)
            elif hasattr(type(self), name):
                values[name] = getattr(type(self), name)
            else:
                raise TypeError(f"{type(self).__name__} needs {name}")
        if given:
            raise TypeError(f"{type(self).__name__} has no {', '.join(given)}")

    def replace(self, **changes: Any) -> Self:
        """The same value with some fields changed."""
        return type(self)(**{**self.__dict__, **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        shown = (f"{name}={self.__dict__[name]!r}" for name in self._fields if name not in self._hidden)
        return f"{type(self).__name__}({', '.join(shown)})"
