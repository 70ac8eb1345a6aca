"""Text as every database and every client can be given it."""


def storable_text(text: str) -> str:
    """The same text without NUL, which PostgreSQL has no place for, and with `?` for each half of a surrogate pair.

    JSON can name both by escapes, so a model, a tool or a server may send them; UTF-8 has no such half.
    """
    if "\0" in text:
        text = text.replace("\0", "")
    return text if text.isascii() else text.encode(errors="replace").decode()
