"""The models: which there are, where they come from, and whether those on disk are whole."""
