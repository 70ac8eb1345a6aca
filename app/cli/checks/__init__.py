"""The checks of `parley doctor`, by what they look at."""
