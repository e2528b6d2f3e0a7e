"""HarmoVid's light client: what hosts, the command line and the server share.

Importable inside Nuke and Resolve (Python 3.9+): this package's root loads only the standard library, pyzmq
and msgpack. Pixels live in `harmovid.pixels`, which needs numpy, OpenEXR and OpenImageIO and which hosts never
import.
"""

__version__ = "0.1.0"
