"""What is wrong with a model's files."""


class UnreadableCheckpoint(Exception):
    """The file's format, or the model's architecture, is not the one known here; the message says what differs."""
