"""Programs that raise: from a leaf below callers of many shapes, with exceptions of many kinds put
in its place on the way."""

import builtins
import itertools
import linecache
import sys

from hypothesis import strategies as st

from nanospan.testing.strategies import texts


class _OddError(Exception):
    class NestedError(Exception):
        pass


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class _EmptyError(Exception):
    def __len__(self):
        return 0


class _HomelessError(Exception):
    __module__ = None


def _noted(error, *notes):
    error.__notes__ = list(notes)
    return error


_KINDS = [ValueError, KeyError, _OddError, _OddError.NestedError, MuteError, _EmptyError]
_KINDS += [_HomelessError, NameError, AttributeError, ImportError, OSError, SystemExit]
errors = st.builds(
    lambda kind, said: kind(*said), st.sampled_from(_KINDS), st.lists(texts(), max_size=2)
)
errors |= st.builds(SyntaxError, texts())
if sys.version_info >= (3, 11):
    groups = st.builds(
        builtins.ExceptionGroup, texts(), st.lists(st.builds(ValueError, texts()), min_size=1)
    )
    errors |= groups | st.builds(_noted, errors, texts())


def _raises(error):
    def leaf():
        raise error

    return leaf


def _misses_a_name():
    return prin("x")  # noqa: F821


def _misses_an_attribute():
    return "text".uper()


def _has_bad_syntax():
    compile("f(x for x in y, 1)", "<text>", "exec")


def _calls_c():
    return int("x")


leaves = errors.map(_raises) | st.sampled_from(
    [_misses_a_name, _misses_an_attribute, _has_bad_syntax, _calls_c]
)


# Ways to call what raises: each gives a caller of `rest`.


def _plainly(rest):
    def caller():
        rest()

    return caller


def _beside_others(rest):
    return lambda: [None, rest(), None][0]


def _in_an_operation(rest):
    def caller():
        return 1 + (rest() * 2) + {"ключ": 1}["ключ"]

    return caller


def _in_a_subscript(rest):
    def caller():
        return {"größe": [1, 2, 3]}["größe"][rest()] + 1

    return caller


def _of_an_operator(rest):
    class Number:
        def __add__(self, other):
            return rest()

        def __getitem__(self, key):
            return rest()

    def caller():
        number = Number()
        return ("広い", number + 1, number)

    return caller


def _count(*values):
    return len(values)


def _over_lines(rest):
    def caller():
        return _count(
            1,
            (
                2,
                rest(),
            ),
            3,
        )

    return caller


def _in_a_generator(rest):
    def numbers():
        yield 1
        yield rest()

    return lambda: sum(n for n in numbers())


def _in_a_comprehension(rest):
    return lambda: [rest() for _ in range(1)]


def _often(times):
    def recursively(rest):
        def caller(left=times):
            return caller(left - 1) if left else rest()

        return caller

    return recursively


def _on_one_line(rest):
    return lambda: (lambda: (lambda: (lambda: (lambda: rest())())())())()


def _from_nowhere(source, filename):
    def compiled(rest):
        names = {"rest": rest, "__name__": "made"}
        exec(compile(source, filename, "exec"), names)
        return names["caller"]

    return compiled


class _Loader:
    def __init__(self, source):
        self.source = source

    def get_source(self, name):
        return self.source


_numbers = itertools.count()


def _from_a_loader(source, filename):
    def compiled(rest):
        file = f"{filename}{next(_numbers)}.py"
        names = {"rest": rest, "__name__": "made", "__loader__": _Loader(source)}
        exec(compile(source, file, "exec"), names)
        return names["caller"]

    return compiled


def _from_the_cache(source, filename):
    def compiled(rest):
        file = f"<{filename}{next(_numbers)}>"
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        return _from_nowhere(source, file)(rest)

    return compiled


expressions = st.recursive(
    st.just("rest()"),
    lambda inner: inner.flatmap(
        lambda text: st.sampled_from(
            [
                f"({text}).a",
                f"{text} + 1",
                f"'ü' * 3 + ({text} - 2)",
                f"[{text}][0]",
                f"(\n        {text},\n    2)",
                f"{{1: {text}}}",
                f"str({text})",
                f"(f'{{1}}', {text})",
                f"-  {text}",
                f"(lambda: {text})()",
                f"[x for x in [{text}]]",
            ]
        )
    ),
    max_leaves=4,
)
statements = st.sampled_from(
    ["return {}", "x = {}", "if {}: pass", "assert [{}] is None, 'no'", "for x in {}: pass"]
)
sources = st.builds(
    lambda head, statement, expression: (
        f"{head}\ndef caller():\n    {statement.format(expression)}\n"
    ),
    st.sampled_from(["", "# ä\n\n"]),
    statements,
    expressions,
)
files = st.sampled_from(["<string>", "missing.py", "/missing/away.py", "nö", ""])

ways = st.sampled_from(
    [
        _plainly,
        _beside_others,
        _in_an_operation,
        _in_a_subscript,
        _of_an_operator,
        _over_lines,
        _in_a_generator,
        _in_a_comprehension,
        _on_one_line,
    ]
)
ways |= st.integers(0, 9).map(_often)
ways |= st.builds(_from_nowhere, sources, files)
ways |= st.builds(_from_a_loader, sources, files)
ways |= st.builds(_from_the_cache, sources, files)


# Ways for one exception to lead to another.


def _raised_from(error):
    def way(rest):
        def caller():
            try:
                rest()
            except BaseException as cause:
                raise error from cause

        return caller

    return way


def _raised_from_none(error):
    def way(rest):
        def caller():
            try:
                rest()
            except BaseException:
                raise error from None

        return caller

    return way


def _raised_meanwhile(error):
    def way(rest):
        def caller():
            try:
                rest()
            finally:
                raise error

        return caller

    return way


def _raised_again(rest):
    def caller():
        try:
            rest()
        except BaseException as error:
            raise error.with_traceback(None)  # noqa: B904

    return caller


def _in_a_circle(rest):
    def caller():
        try:
            rest()
        except BaseException as error:
            error.__context__ = ValueError("other")
            error.__context__.__cause__ = error
            raise

    return caller


links = st.just(_raised_again) | st.just(_in_a_circle)
for _way in (_raised_from, _raised_from_none, _raised_meanwhile):
    links |= errors.map(_way)


def _built(leaf, layers):
    for layer in layers:
        leaf = layer(leaf)
    return leaf


programs = st.builds(_built, leaves, st.lists(ways | links, max_size=8))
