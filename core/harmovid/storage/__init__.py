"""Files on disk: sources and sinks of frames, files written whole, the resume journal, checksums."""
