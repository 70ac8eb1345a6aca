"""`GET /engines`: which engines answer."""

import httpx
import pytest

from app.assembly.replies import answering_model
from app.config import Settings
from app.domain.answering_model import AnsweringModel
from app.domain.dialog.state import DialogState, TurnRules
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio


async def test_the_engines_are_listed_in_their_order_with_the_languages_that_are_expected():
    answering = (AnsweringModel("ollama", "llama3.2"), AnsweringModel("embedded", "tiny", is_demonstration=True))
    service = scripted_service(answering=answering, initial_state=DialogState(TurnRules(language="de,en")))

    async with served(service) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        answer = (await http.get("/engines")).json()

    assert answer == {
        "replies": [
            {"engine": "ollama", "model": "llama3.2", "demonstration": False},
            {"engine": "embedded", "model": "tiny", "demonstration": True},
        ],
        "languages": ["de", "en"],
    }


def test_only_the_embedded_model_of_the_default_settings_is_a_demonstration():
    larger = Settings(reply_model_id="qwen2.5-3b-instruct")

    assert answering_model(Settings(), "embedded").is_demonstration
    assert not answering_model(larger, "embedded").is_demonstration
    assert answering_model(Settings(), "openai") == AnsweringModel("openai", Settings().openai_model)
    assert answering_model(Settings(), "receiver") == AnsweringModel("receiver", "")
