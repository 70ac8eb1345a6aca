"""The only place where settings, engines and the runtime meet."""
