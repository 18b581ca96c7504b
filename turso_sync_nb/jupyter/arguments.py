"""Parse the words after ``%turso_sync``: options, positional words, and SQL left as typed.

Rules of this file: a line either parses or raises ``UsageError`` with the next step; nothing exits,
prints or abbreviates. A value never appears in a message, since it may be a URL with a token in it:
messages name options and counts only. (``argparse`` repeats values, and takes the optional word of
``connect PATH --as NAME URL`` for a stray one.)
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.api import secrets_in
from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter.suggestions import close_words, did_you_mean
from turso_sync_nb.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE: Final = re.compile(r"\{([^\W\d]\w*)((?:\.[^\W\d]\w*)*)\}")
_SHOWABLE: Final = re.compile(r"[\w.-]{1,60}")

TOKEN_OPTION: Final = "--token"  # noqa: S105 - an option's name

_TOKEN_OPTIONS: Final = frozenset({"--auth-token", "--auth_token", "--authtoken", "--password"})
"""Options that do not exist, which a user may take for ``TOKEN_OPTION``."""

_TOKEN_ON_LINE: Final = re.compile(
    rf"(?i:{'|'.join(sorted({TOKEN_OPTION, *_TOKEN_OPTIONS}))})"
    r"""(?:\s+|\s*=\s*)(?:"([^"]*)"|'([^']*)'|([^\s"']+))"""
)

_LEADING_OPTION: Final = re.compile(r"(--?[A-Za-z][\w-]*)(?:=(\S*))?(?:\s+|$)")
_LEADING_VALUE: Final = re.compile(r"(\S+)(?:\s+|$)")
_LEADING_TARGET: Final = re.compile(r"(\w+)\s*<<\s*")


@dataclass(frozen=True)
class Option:
    """One option: its spellings, what its value is called (empty for a flag), what it does."""

    flags: tuple[str, ...]
    value: str = ""
    help: str = ""
    is_secret: bool = False
    """Whether its value must not be seen."""

    @property
    def key(self) -> str:
        """The name the parsed value is found under: the longest spelling without its dashes."""
        return max(self.flags, key=len).lstrip("-").replace("-", "_")


@dataclass(frozen=True)
class Grammar:
    """The grammar of a line; ``usage`` is shown when it does not parse."""

    usage: str
    options: tuple[Option, ...] = ()
    words_min: int = 0
    words_max: int = 0


@dataclass(frozen=True)
class Arguments:
    """A parsed line: words in order, option values by key (a flag's value is empty), rest untouched.

    Values that must not be seen are in ``secrets`` and not among the options.
    """

    words: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    rest: str = ""
    secrets: dict[str, Secret] = field(default_factory=dict)

    def has(self, key: str) -> bool:
        """Return whether the option was given."""
        return key in self.options or key in self.secrets

    def get(self, key: str) -> str | None:
        """Return the option's value, or None when it was not given."""
        return self.options.get(key)

    def word(self, index: int) -> str | None:
        """Return a positional word, or None when the line has fewer."""
        return self.words[index] if index < len(self.words) else None


def parse(grammar: Grammar, line: str) -> Arguments:
    """Return the line's words and options; quoting is the shell's, ``--`` ends the options.

    Raises:
        UsageError: an unknown or repeated option, a missing value, too few or too many words,
            a quote that is not closed.
    """
    tokens = split_words(line, grammar.usage)
    words: list[str] = []
    options: dict[str, str] = {}
    secrets: dict[str, Secret] = {}
    while tokens:
        token = tokens.pop(0)
        if token == "--":  # noqa: S105 - the end of the options, not a password
            words += tokens
            break
        if not token.startswith("-") or token == "-":  # noqa: S105 - as above
            words.append(token)
            continue
        name, equals, value = token.partition("=")
        option = _find(grammar, name)
        _put(option, _value(option, name, value if equals else None, tokens), options, secrets)
    _check_count(grammar, len(words))
    return Arguments(tuple(words), options, secrets=secrets)


def parse_before_sql(grammar: Grammar, line: str) -> Arguments:
    """Return the options (and ``NAME <<``) that lead ``line``; ``rest`` is the SQL as it was typed.

    SQL is not split into words: quotes, dashes and backslashes in it are SQLite's. A leading
    ``-- comment`` is SQL, since no option is a bare ``--``.
    """
    options: dict[str, str] = {}
    secrets: dict[str, Secret] = {}
    rest = line.strip()
    while match := _LEADING_OPTION.match(rest):
        name, value = match[1], match[2]
        option = _find(grammar, name)
        rest = rest[match.end() :]
        following: list[str] = []
        if option.value and value is None and (found := _LEADING_VALUE.match(rest)):
            following = [found[1]]
            rest = rest[found.end() :]
        _put(option, _value(option, name, value, following), options, secrets)
    if target := _LEADING_TARGET.match(rest):
        rest = rest[target.end() :]
        return Arguments((target[1],), options, rest, secrets)
    return Arguments((), options, rest, secrets)


def expanded(arguments: Arguments, variables: Mapping[str, Any]) -> Arguments:
    """Return the arguments with ``{name}`` and ``{name.attribute}`` replaced by what the notebook has there.

    Done after the split into words: a value with spaces or quotes stays one word. Other braces are kept.

    Raises:
        UsageError: no variable has that name, or no such attribute.
    """
    replaced = partial(_VARIABLE.sub, partial(_variable_text, variables))
    words = tuple(replaced(word) for word in arguments.words)
    return replace(
        arguments,
        words=words,
        options={key: replaced(value) for key, value in arguments.options.items()},
        secrets={key: Secret(secret.use(replaced)) for key, secret in arguments.secrets.items()},
    )


def secrets_on(line: str, variables: Mapping[str, Any]) -> list[Secret]:
    """Return what may be a secret on a line that perhaps does not parse, its variables replaced if possible.

    That is the value of an option that is named like a token, and what :func:`secrets_in` finds in a URL.
    """

    def with_variable(found: re.Match[str]) -> str:
        try:
            return _variable_text(variables, found)
        except Exception:  # noqa: BLE001 - a user's object; the error of the line is the one to tell
            return found[0]

    tokens = ["".join(groups) for groups in _TOKEN_ON_LINE.findall(line)]
    found = [Secret(_VARIABLE.sub(with_variable, token)) for token in tokens]
    return [*found, *secrets_in(line), *secrets_in(_VARIABLE.sub(with_variable, line))]


def _variable_text(variables: Mapping[str, Any], found: re.Match[str]) -> str:
    name, attributes = found[1], found[2]
    if name not in variables:
        public = (key for key in variables if not key.startswith("_"))
        hint = did_you_mean(name, public) or f"assign it first: {name} = ..."
        raise UsageError(f"replace {{{name}}}: no variable has that name", hint=hint)
    try:
        return str(attrgetter(attributes[1:])(variables[name]) if attributes else variables[name])
    except AttributeError as error:
        raise UsageError(
            f"replace {found[0]}: {error}", hint="name a variable or an attribute of one"
        ) from error


def showable(word: str) -> str:
    """Return ``word`` in quotes for a message, or only ``"that word"`` when it may be a URL or a token."""
    return repr(word) if _SHOWABLE.fullmatch(word) else "that word"


def split_words(line: str, usage: str) -> list[str]:
    """Return the line's words with shell quoting; ``df<<`` is two words.

    Raises:
        UsageError: a quote is not closed.
    """
    try:
        tokens = shlex.split(line)
    except ValueError as error:
        raise UsageError(
            "read the line: a quote is not closed", hint=f"put words with spaces or quotes in quotes: {usage}"
        ) from error
    split: list[str] = []
    for token in tokens:
        if token.endswith("<<") and token[:-2].isidentifier():
            split += [token[:-2], "<<"]
        else:
            split.append(token)
    return split


def _find(grammar: Grammar, name: str) -> Option:
    for option in grammar.options:
        if name in option.flags:
            return option
    if name.lower() in _TOKEN_OPTIONS:
        raise UsageError(
            f"read option {name}: there is no such option",
            hint="put the token in the environment variable TURSO_AUTH_TOKEN, or name another with "
            "--token-env; --token TOKEN saves it in the notebook",
        )
    known = [flag for option in grammar.options for flag in option.flags]
    means_help = close_words(name, [*known, "--help"])[:1] == ["--help"]
    guess = did_you_mean(name, ["--help"] if means_help else known)
    raise UsageError(
        f"read option {showable(name)}: there is no such option", hint=guess or f"usage: {grammar.usage}"
    )


def _value(option: Option, name: str, attached: str | None, following: list[str]) -> str:
    """Return one option's value (empty for a flag), taken from ``following`` when it is not attached.

    Raises:
        UsageError: a value is missing, empty, or given to a flag.
    """
    if not option.value:
        if attached is not None:
            raise UsageError(f"read option {name}: it takes no value", hint=f"write {name}")
        return ""
    if attached is None and following and not following[0].startswith("--"):
        attached = following.pop(0)
    if not attached:
        raise UsageError(
            f"read option {name}: {option.value} is missing", hint=f"write {name} {option.value}"
        )
    return attached


def _put(option: Option, value: str, options: dict[str, str], secrets: dict[str, Secret]) -> None:
    """Store an option's value in ``secrets`` if it must not be seen, else in ``options``."""
    if option.key in options or option.key in secrets:
        raise UsageError(f"read option {option.flags[0]}: it was given twice", hint="keep one of them")
    if option.is_secret:
        secrets[option.key] = Secret(value)
    else:
        options[option.key] = value


def _check_count(grammar: Grammar, count: int) -> None:
    if grammar.words_min <= count <= grammar.words_max:
        return
    expected = (
        str(grammar.words_min)
        if grammar.words_min == grammar.words_max
        else f"{grammar.words_min} to {grammar.words_max}"
    )
    noun = "word" if count == 1 else "words"
    belong = "belongs" if expected == "1" else "belong"
    raise UsageError(
        f"read the line: {count} {noun} where {expected} {belong}", hint=f"usage: {grammar.usage}"
    )
