"""How much of a conversation goes into a prompt."""

from app.domain.dialog.conversation import Message, Role, alternating, prompt

LONG = [Message(Role.USER, "a" * 60), Message(Role.ASSISTANT, "b" * 60), Message(Role.USER, "c" * 60)]


def test_the_instructions_come_first_in_the_prompt():
    """They are the system's words, and do not count against the limit."""
    assert prompt("Be brief.", LONG, max_characters=1000)[0] == Message(Role.SYSTEM, "Be brief.")
    assert prompt("", LONG, max_characters=1000) == tuple(LONG)


def test_the_oldest_messages_are_dropped_from_a_long_prompt():
    """What fits is the newest, in its order."""
    assert prompt("", LONG, max_characters=100) == (LONG[-1],)
    assert prompt("", [Message(Role.USER, "d"), *LONG], max_characters=180) == tuple(LONG)


def test_a_prompt_does_not_begin_with_a_reply_whose_question_is_dropped():
    """Chat templates want the user's message first."""
    assert prompt("", LONG, max_characters=130) == (LONG[-1],)


def test_user_and_assistant_alternate_for_a_chat_template():
    """Replies that failed and texts of the client's choice leave messages of one side in a row."""
    conversation = (
        Message(Role.SYSTEM, "Be brief."),
        Message(Role.USER, "Hello?"),
        Message(Role.USER, "Anybody?"),
        Message(Role.ASSISTANT, "Yes."),
        Message(Role.ASSISTANT, "Welcome."),
        Message(Role.USER, "At last."),
    )

    assert alternating(conversation) == (
        Message(Role.SYSTEM, "Be brief."),
        Message(Role.USER, "Hello?\nAnybody?"),
        Message(Role.ASSISTANT, "Yes.\nWelcome."),
        Message(Role.USER, "At last."),
    )


def test_what_the_assistant_said_first_stands_in_the_instructions():
    """A greeting by `say` has no question in front of it."""
    history = (Message(Role.ASSISTANT, "Which pizza?"), Message(Role.USER, "The large one."))

    system, user = alternating((Message(Role.SYSTEM, "Be brief."), *history))

    assert system.text == "Be brief.\n\nYou began the conversation with: Which pizza?"
    assert user == history[1]
    assert alternating(history)[0] == Message(Role.SYSTEM, "You began the conversation with: Which pizza?")


def test_a_reply_that_was_cut_off_is_marked_in_the_prompt():
    """The model sees that it did not say more."""
    history = (Message(Role.USER, "Tell me."), Message(Role.ASSISTANT, "Once upon", is_cut_off=True), LONG[0])

    assert [message.text for message in prompt("", history, max_characters=1000)][1] == "Once upon…"


def test_the_last_message_is_always_in_the_prompt():
    """There is nothing to answer without it."""
    assert prompt("", LONG, max_characters=10) == (LONG[-1],)
