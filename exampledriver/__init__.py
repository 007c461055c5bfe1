"""A volume plugin for Docker Engine and Podman that never loses a volume.

The rooms, and who may import whom, are described in ``docs/architecture.md``.
"""
