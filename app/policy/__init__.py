"""Where the policy's rules and routes are read from."""
