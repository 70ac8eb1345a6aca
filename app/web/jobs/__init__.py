"""`/jobs`: the transcription jobs of uploaded and linked files."""
