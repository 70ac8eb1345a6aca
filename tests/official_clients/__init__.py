"""Scripts for the vendors' own clients; each runs in the environment of one client, and prints JSON."""
