"""Pure core: dialog state machine, routing policy and recording formats, with the standard library only.

No async, clock, environment, log or vendor. Begin with `ports.py` (what engines implement), then
`dialog/transitions.py`.
"""
