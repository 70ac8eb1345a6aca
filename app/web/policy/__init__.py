"""Routing decisions over HTTP, for operators: `router` has all of it."""
