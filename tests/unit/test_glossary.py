"""Glossary and code use the same words: each term's symbol exists, class names are unique, no word is banned."""

import re
from collections import Counter, defaultdict

from tests.source import CLIENT, ROOT, classes, identifiers, modules, symbols, words

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text("utf-8")

FIGURES_OF_SPEECH = frozenset(
    {"bell", "beside", "bring", "bringing", "careful", "crammed", "cutter", "door", "floor", "guess", "happen"}
    | {"happening", "hear", "heard", "hears", "ill", "judge", "judged", "judging", "obey", "owed", "owing", "purse"}
    | {"pursuit", "race", "rests", "ring", "sane", "sayable", "saying", "scribe", "shelf", "shelve", "standing"}
    | {"patience", "standings", "tally", "tell", "tend", "told", "trouble", "troubles", "vitals", "wish"}
)
"""Words that name an idea by an image; the glossary has the field's word for each."""

VAGUE = frozenset({"manager", "helper", "utils", "data", "misc"})
"""Parts of class names that say nothing about what the class is."""

ALLOWED = {"tell": "the method of Python's file objects"}
"""Identifiers that may have such a word, each with its because."""


def test_every_symbol_in_the_glossary_exists():
    """`module:Name` in the glossary is a class, a function or a constant of that module."""
    named = re.findall(r"`((?:app|providers|storage)\.[a-z_.]+):([\w.]+)`", GLOSSARY)

    missing = [f"{module}:{name}" for module, name in named if module not in modules() or name not in symbols(module)]

    assert named
    assert missing == []


def test_every_term_is_defined_once():
    """No term has two definitions."""
    rows = re.findall(r"^\| ([^|]+?) \|", GLOSSARY, re.MULTILINE)
    terms = Counter(term for row in rows for term in row.split(", "))

    assert [term for term, times in terms.items() if times > 1 and term not in {"term", "---"}] == []


def test_no_two_classes_share_a_name():
    """A class name means one thing in the whole service; the client is a package of its own, and has its own words."""
    defined = defaultdict(set)
    for module, node in classes():
        defined[module.startswith(CLIENT), node.name].add(module)

    assert {name: sorted(where) for name, where in defined.items() if len(where) > 1} == {}


def test_identifiers_are_no_figures_of_speech():
    """Classes, functions, arguments and attributes are named in the field's words."""
    found = defaultdict(set)
    for module, identifier in identifiers():
        if identifier not in ALLOWED and not FIGURES_OF_SPEECH.isdisjoint(words(identifier)):
            found[module].add(identifier)

    assert {module: sorted(names) for module, names in found.items()} == {}


def test_class_names_say_what_a_class_is():
    """No class is called a manager, a helper or data."""
    vague = [f"{module}:{node.name}" for module, node in classes() if not VAGUE.isdisjoint(words(node.name))]

    assert vague == []


def test_every_exception_is_still_needed():
    """An identifier that is gone from the code is gone from the list of exceptions."""
    used = {identifier for _, identifier in identifiers()}

    assert set(ALLOWED) - used == set()
