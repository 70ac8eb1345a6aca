"""What is kept of a session: its manifest, the names of its blobs, its audio as a file and its text as subtitles.

Begin with `manifest.py`. Everything here is pure: values in, values out.
"""
