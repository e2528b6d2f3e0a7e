"""Files on disk: sources and sinks of frames, atomic writes, the resume journal, locks, checksums."""
