"""The history of parttag's files: what older ones said, and how it is said now.

Everything else in the package knows the present form alone. A file says its form by
``schema_version``; each format has one small function a step, applied in order when an older file
is read (``docs/reference/formats.md`` says what is promised).
"""
