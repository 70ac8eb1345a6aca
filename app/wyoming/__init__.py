"""The Wyoming protocol over TCP: Parley as speech-to-text, text-to-speech and conversation of Home Assistant.

`server` accepts connections; `connection` is one of them, `dictation` the session behind its audio.
"""
