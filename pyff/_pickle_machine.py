"""A pickle read as data: an interpreter of the format that owns no way to call anything.

Python's unpickler runs what a file tells it to run. This one walks the opcodes and builds dicts, lists, tuples, numbers
and `Record`s, which remember "class X with these arguments and this state". Names outside the caller's allow-list are
an error all the same: a model file that mentions `os.system` should be refused loudly, not read quietly.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pyff.errors import PyffError

__all__ = ["Name", "PickleError", "Record", "read_pickle"]

MAX_OPCODES = 20_000_000


class PickleError(PyffError):
    """A pickle that is damaged, or that names something outside the allow-list."""


@dataclass(frozen=True)
class Name:
    """A global the pickle mentions; never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Record:
    """An object the pickle would have built: its class or factory, the arguments, the state.

    raw_state is the state of classes that keep another kind than a dict: arrays and their dtypes have tuples.
    """

    cls: Name
    args: tuple = ()
    state: dict = field(default_factory=dict)
    raw_state: Any = None


def read_pickle(file: BinaryIO, allowed: Callable[[Name], bool], persistent: Callable[[Any], Any] | None = None) -> Any:
    """The object in the pickle that starts at the file's position, without executing anything.

    allowed(name) says which globals may appear; persistent(id) resolves persistent ids.

    Raises:
        PickleError: a global that is not allowed, an opcode that plain data do not need, or a damaged stream.
    """
    machine = _Machine(allowed, persistent)
    try:
        for count, (opcode, arg, position) in enumerate(pickletools.genops(file)):
            if count > MAX_OPCODES:
                raise PickleError(f"pickle is longer than {MAX_OPCODES} instructions")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, arg, position)
    except PickleError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise PickleError(f"damaged pickle: {error}") from None
    raise PickleError("damaged pickle: it ends before its end mark")


_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
_PUSH = frozenset(_NUMBERS + _TEXTS + _BYTES)
_CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}
_MEMO_PUT = frozenset(["PUT", "BINPUT", "LONG_BINPUT"])
_MEMO_GET = frozenset(["GET", "BINGET", "LONG_BINGET"])
_TUPLE = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()
_KEYS = (str, int, float, bool, bytes, type(None))


class _Machine:
    """Stack and memo of one pickle."""

    def __init__(self, allowed: Callable[[Name], bool], persistent: Callable[[Any], Any] | None) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.allowed = allowed
        self.persistent = persistent

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise PickleError("damaged pickle: a mark where a value is needed")
        return value

    def pop_to_mark(self) -> list:
        items: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def step(self, name: str, arg: Any, position: int) -> None:
        if name in _PUSH:
            self.stack.append(arg)
        elif name in _CONSTANT:
            self.stack.append(_CONSTANT[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLE:
            self.stack.append(tuple([self.pop() for _ in range(_TUPLE[name])][::-1]))
        elif name in _MEMO_PUT:
            self.memo[arg] = self.stack[-1]
        elif name in _MEMO_GET:
            self.stack.append(self.memo[int(arg)])
        else:
            handler = getattr(self, f"do_{name.lower()}", None)
            if handler is None:
                raise PickleError(f"pickle instruction {name} at byte {position} is not one that plain data need")
            handler(arg)

    def do_proto(self, arg) -> None:
        if arg > 5:
            raise PickleError(f"pickle protocol must be 0..5; received {arg}")

    def do_frame(self, _arg) -> None:
        """A length hint for streaming readers."""

    def do_mark(self, _arg) -> None:
        self.stack.append(_MARK)

    def do_pop(self, _arg) -> None:
        self.stack.pop()

    def do_pop_mark(self, _arg) -> None:
        self.pop_to_mark()

    def do_dup(self, _arg) -> None:
        self.stack.append(self.stack[-1])

    def do_memoize(self, _arg) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_tuple(self, _arg) -> None:
        self.stack.append(tuple(self.pop_to_mark()))

    def do_list(self, _arg) -> None:
        self.stack.append(self.pop_to_mark())

    def do_dict(self, _arg) -> None:
        self.stack.append(_pairs(self.pop_to_mark()))

    def do_frozenset(self, _arg) -> None:
        self.stack.append(frozenset(map(_key, self.pop_to_mark())))

    def do_append(self, _arg) -> None:
        value = self.pop()
        self._top(list).append(value)

    def do_appends(self, _arg) -> None:
        items = self.pop_to_mark()
        self._top(list).extend(items)

    def do_additems(self, _arg) -> None:
        items = self.pop_to_mark()
        self._top(set).update(map(_key, items))

    def do_setitem(self, _arg) -> None:
        value, key = self.pop(), self.pop()
        self._top(dict)[_key(key)] = value

    def do_setitems(self, _arg) -> None:
        items = self.pop_to_mark()
        self._top(dict).update(_pairs(items))

    def do_global(self, arg) -> None:
        module, name = arg.split(" ", 1)
        self._push_name(module, name)

    def do_stack_global(self, _arg) -> None:
        name, module = self.pop(), self.pop()
        self._push_name(module, name)

    def do_reduce(self, _arg) -> None:
        args, factory = self.pop(), self.pop()
        if not isinstance(factory, Name) or not isinstance(args, tuple):
            raise PickleError("damaged pickle: only a named class with a tuple of arguments can be built")
        ordered = str(factory) == "collections.OrderedDict"
        self.stack.append(_ordered_dict(*args) if ordered else Record(factory, args))

    do_newobj = do_reduce

    def do_build(self, _arg) -> None:
        state = self.pop()
        target = self._top((Record, dict))
        if isinstance(target, Record) and isinstance(state, dict):
            target.state.update(state)
        elif isinstance(target, Record):
            target.raw_state = state
        # the state of an OrderedDict (torch keeps `_metadata` there) and of factories holds nothing a reader needs

    def do_binpersid(self, _arg) -> None:
        if self.persistent is None:
            raise PickleError("pickle refers to outside objects where it should not")
        self.stack.append(self.persistent(self.pop()))

    def _top(self, kind) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise PickleError(f"damaged pickle: {type(self.stack[-1]).__name__} where a container is needed")
        return self.stack[-1]

    def _push_name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("damaged pickle: the name of a class must be text")
        symbol = Name(module, name)
        if not self.allowed(symbol):
            raise PickleError(f"pickle refers to {symbol}, which has no place in a model file; nothing was executed")
        self.stack.append(symbol)


def _ordered_dict(pairs: Any = ()) -> dict:
    if not isinstance(pairs, (list, tuple)):
        raise PickleError("damaged pickle: an ordered dict is built from pairs")
    return {_key(key): value for key, value in pairs}


def _pairs(items: list) -> dict:
    if len(items) % 2:
        raise PickleError("damaged pickle: a key without a value")
    return dict(zip(map(_key, items[::2]), items[1::2], strict=True))


def _key(value: Any) -> Any:
    """The value, if hashing it cannot recurse: a tuple of a million tuples would overflow the C stack."""
    if not isinstance(value, _KEYS):
        raise PickleError(f"pickle has a {type(value).__name__} as a key, where plain data have text and numbers")
    return value
