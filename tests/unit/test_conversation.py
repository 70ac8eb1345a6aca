"""How much of a conversation goes into a prompt."""

from app.domain.dialog.conversation import Message, Role, prompt

LONG = [Message(Role.USER, "a" * 60), Message(Role.ASSISTANT, "b" * 60), Message(Role.USER, "c" * 60)]


def test_the_instructions_come_first_in_the_prompt():
    """They are the system's words, and do not count against the limit."""
    assert prompt("Be brief.", LONG, max_characters=1000)[0] == Message(Role.SYSTEM, "Be brief.")
    assert prompt("", LONG, max_characters=1000) == tuple(LONG)


def test_the_oldest_messages_are_dropped_from_a_long_prompt():
    """What fits is the newest, in its order."""
    assert prompt("", LONG, max_characters=130) == tuple(LONG[1:])


def test_the_last_message_is_always_in_the_prompt():
    """There is nothing to answer without it."""
    assert prompt("", LONG, max_characters=10) == (LONG[-1],)
