"""Engines on a Ray cluster (docs/cluster.md): a worker whose engine host has its engines in actors on other machines.

Main starts `harmovid_server.cluster` in place of `harmovid_server.worker` where `backend` is "ray". Nothing else of the
server imports Ray.
"""
