"""Texts of strangers, made harmless to a terminal."""

from numbers import Integral, Real

# line ends and tabs; what joins the parts of an emoji, or keeps letters apart
_HARMLESS = "\n\t\u200d\u200c"


def escaped(text, *, as_json=False):
    """Show what acts on a terminal as a printable escape."""
    if text.isprintable():
        return text
    escape = _in_json if as_json else _in_python
    return "".join(c if c.isprintable() or c in _HARMLESS else escape(c) for c in text)


def _in_python(character):
    return character.encode("unicode_escape").decode()


def _in_json(character):
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def printable(value, width=60):
    """Write a value in one line that does nothing to a terminal."""
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{value:.3f}"
    line = escaped(" ".join(str(value).split()))
    return line if len(line) <= width else line[: width - 1] + "…"
