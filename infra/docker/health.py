#!/usr/bin/env python3
"""Whether the server in this container works: exit status 0, or 1 and a sentence."""

import os
import sys
from urllib.error import URLError
from urllib.request import urlopen

port = os.environ.get("PARLEY_PORT") or os.environ.get("PORT") or "8000"
address = f"http://127.0.0.1:{port}/health/live"
try:
    with urlopen(address, timeout=4) as answer:
        print(answer.read().decode())
except (URLError, TimeoutError) as error:
    sys.exit(f"{address} does not answer: {error}")
