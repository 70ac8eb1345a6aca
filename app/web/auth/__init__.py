"""Who may connect: API keys to tenants (`middleware`), and the origins of web pages (`origin`)."""
