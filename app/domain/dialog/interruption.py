"""Whether speech over a reply is a barge-in or a backchannel."""

BACKCHANNELS = frozenset(
    [
        "mm",
        "mhm",
        "hm",
        "hmm",
        "mm-hm",
        "mm-hmm",
        "mhmm",
        "uh",
        "uh-huh",
        "um",
        "ah",
        "oh",
        "ok",
        "okay",
        "yeah",
        "yes",
        "yep",
        "right",
        "sure",
    ]
)
"""Words that show that one listens, and do not ask for the turn."""


def is_backchannel(text: str) -> bool:
    """True for "mm-hm", "yeah, okay" and for no words at all."""
    words = [word.strip(".,;:!?…").casefold() for word in text.split()]
    return len(words) <= 3 and all(word in BACKCHANNELS or not word for word in words)
