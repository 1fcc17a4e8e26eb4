"""Where results go: the record, its file and its pull request, and the targets that the exporter service brings it to.

Nothing here consumes a message or talks to a provider.
"""
