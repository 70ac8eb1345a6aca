"""Twilio: phone calls as sessions, by its voice webhook and Media Streams."""
