"""`wyoming-bench` against a server: host and port, folder of recordings with their words, programs for speech to text.

Prints how each command ended, and what it said.
"""

import json
import subprocess
import sys

server, corpus, programs = sys.argv[1:]
ONCE = ["--rounds", "1", "--warmup", "0", "--timeout", "20", "--verbose", "--mode", "both"]
COMMANDS = {
    "info": ["info", server],
    "tts": ["tts", *ONCE, "--texts", "Hello there. How are you?", "--", server],
    "stt": ["stt", *ONCE, "--programs", programs, "--corpus", corpus, server],
}


def run(arguments):
    words = [sys.executable, "-I", "-m", "wyoming_bench.cli", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return {"status": done.returncode, "said": done.stdout + done.stderr}


json.dump({name: run(arguments) for name, arguments in COMMANDS.items()}, sys.stdout)
