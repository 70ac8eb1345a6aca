"""Tests: `unit` (no I/O), `contracts` (one suite for all engines of a Protocol), `integration` (real servers), `infra`.

Begin with `fakes.py` (engines that follow a script) and `serving.py` (a real server around them); `emulators` has
vendors' services with their real wire protocols.
"""
