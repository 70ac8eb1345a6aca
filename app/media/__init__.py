"""Audio files and the service's own PCM, by FFmpeg: `decode.py` reads any format, `encode.py` writes four.

Everything that is not named otherwise blocks, and belongs into a thread.
"""
