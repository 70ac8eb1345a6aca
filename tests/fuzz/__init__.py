"""Generated hostile input for everything that reads bytes from outside. `make fuzz` searches a hundred times longer."""
