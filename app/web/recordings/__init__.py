"""What is archived, over HTTP: list, read, hear, delete, and bring in recordings made elsewhere."""
