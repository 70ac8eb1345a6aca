"""Protocols of earlier servers, on a WebSocket at `/`: their clients are told apart by the first frame."""
