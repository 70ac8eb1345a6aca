"""Where bytes are kept: blob stores (folder, S3, Azure), the session log on the local disk, encryption, Google Drive.

Each module is opened by name through `app/registry.py`; begin with BlobStore in `app/domain/ports.py`.
"""
