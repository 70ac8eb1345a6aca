"""Fixtures of the vendors' clients for OpenAI's API; see tests/client_environments.py."""

import pytest

from tests.client_environments import node_client, python_client


@pytest.fixture(scope="session")
def python_openai():
    return python_client("openai", "openai==3.57.0")


@pytest.fixture(scope="session")
def node_openai():
    return node_client("openai", "openai@7.57.0")


@pytest.fixture(scope="session")
def ai_sdk():
    return node_client("ai-sdk", "@ai-sdk/openai@3.0.141", "ai@6.0.326")
