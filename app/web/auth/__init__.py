"""Who may connect: API keys to principals, and what their scopes allow (`middleware`)."""
