"""Archives of volumes, to and from who listens at a socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import define, evolve

from ..admin.interfaces import Fields, Report
from ..backends import owned
from ..backends.copying.archive import Manifest
from ..backends.copying.channels import Channel
from ..backends.copying.copiers import ICopier
from ..backends.copying.exporting import export_tree
from ..backends.copying.importing import Import
from ..backends.copying.snapshots import Snapshot
from ..backends.copying.trees import Copied
from ..backends.interfaces import ICopyable
from ..plugin.redaction import hidden_options
from ..plugin.volume import rfc3339
from .copying import Copying, copied_fields
from .errors import ConflictError, InvalidOptionError, quoted
from .model import DIRECTORY, FROM, StoredVolume, Wanted, check_labels, check_name

#: The options of an archived volume that the imported one has too; its directory has them.
_KEPT = ("gid", "mode", "uid")
#: Options that an imported volume cannot have.
_NOT_IMPORTED = (FROM, "mountpoint")
#: What the manifest says of a volume that nobody used when its export began.
_WHEN_BEGUN = "exact when begun"


@define(eq=False)
class Archives(Copying):
    """Exports and imports."""

    async def export(self, name: str, label: str, channel: str, report: Report) -> Fields:
        """Send a volume, or a snapshot, to who listens at a socket."""
        check_name(name)

        async def work() -> tuple[Copied, str]:
            if label:
                async with self._locks.held(name):
                    snapshots = self._snapshots()
                    found = await self._ask(name, "exporting", lambda: snapshots.get(name, label))
                    volume = self._of_snapshot(found)
                    data = snapshots.directory(name) / label / "data"
                    copier = self._copier(volume)
                    copied = await send(data, volume, copier, lambda: found.consistency)
                    return copied, found.consistency
            async with self._reading(name) as hold:
                volume = hold.volume
                copier = self._copier(volume)
                # The manifest comes first, and what happens before the end is not known then.
                begun = hold.used
                copied = await send(
                    self._data(volume),
                    volume,
                    copier,
                    lambda: copier.consistency_read(True) if begun else _WHEN_BEGUN,
                )
                return copied, copier.consistency_read(hold.used)

        async def send(
            data: Path, volume: StoredVolume, copier: ICopier, consistency: Callable[[], str]
        ) -> Copied:
            known = name in self._service.volumes
            manifest = Manifest(
                name,
                volume.backend,
                rfc3339(volume.created) if known else "",
                hidden_options(volume.options),
                rfc3339(self._service.now()),
                labels=dict(volume.labels),
            )

            def export() -> Copied:
                with (
                    Channel(self._channels / channel, progress) as output,
                    copier.reading(data) as tree,
                ):
                    begun = evolve(manifest, consistency=consistency())
                    return export_tree(tree, begun, output, progress, self._root)

            return await self._send(name, "exporting", export)

        with self._work(name) as (progress, about):
            copied, consistency = await self._waits.telling(report, about, work(), progress.stop)
        fields = copied_fields(copied)
        return {"Name": name, "Label": label, **fields, "Consistency": consistency}

    def _of_snapshot(self, found: Snapshot) -> StoredVolume:
        """Return the volume that a snapshot is of, as it was; it may be gone."""
        volume: StoredVolume | None = self._service.volumes.get(found.volume)
        created = self._service.now() if volume is None else volume.created
        wanted = Wanted(found.backend, found.options)
        place = self._backend.mountpoint(found.volume, wanted)
        return StoredVolume(found.volume, place, created, found.options, found.backend)

    def _imported(self, manifest: Manifest, given: Mapping[str, str]) -> dict[str, str]:
        """Return the options of an imported volume: the archived one's, and what is given."""
        kept = {key: manifest.options[key] for key in _KEPT if key in manifest.options}
        taken = ICopyable(self._backend).taken_over(manifest.backend, manifest.options)
        if taken["backend"] == DIRECTORY:
            taken = {}  # a size is of a file system that has quotas
        if given.get("backend", taken.get("backend")) != taken.get("backend"):
            taken = {}
        return {"backend": DIRECTORY, **kept, **taken, **given}

    async def import_(
        self, name: str, options: Mapping[str, str], channel: str, report: Report
    ) -> Fields:
        """Make a volume of an archive that is sent by who listens at a socket."""
        for key in _NOT_IMPORTED:
            if key in options:
                raise InvalidOptionError(
                    f"volume {quoted(name)}: option {quoted(key)} is not for an imported volume"
                )
        if name in self._service.volumes:
            raise ConflictError(f"volume {quoted(name)}: exists already; give another name")

        async def work() -> None:
            source = Channel(self._channels / channel, progress)
            await self._send(name, "importing", source.__enter__)
            try:
                archive = Import(source, progress)
                manifest = await self._send(name, "importing", archive.read_manifest)
                manifests.append(manifest)
                wanted = self._imported(manifest, options)
                labels = check_labels(name, manifest.labels)

                def fill(volume: StoredVolume, content: Path, scratch: Path) -> Copied:
                    with self._copier(volume).filling(content) as tree:
                        copied.append(archive.extract(tree, scratch))
                        owned.change(tree, options)
                    return copied[0]

                origin = self._origin("importing", fill, wanted["backend"], progress)
                origin = evolve(origin, labels=labels)
                await self._service.create(name, wanted, origin)
                await self._forget(name)
            finally:
                source.__exit__()

        manifests: list[Manifest] = []
        copied: list[Copied] = []
        with self._work(name) as (progress, about):
            await self._waits.telling(report, about, work(), progress.stop)
        (manifest,) = manifests
        archived: dict[str, object] = {
            "Name": manifest.name,
            "Backend": manifest.backend,
            "Options": hidden_options(manifest.options),
            "Labels": manifest.labels,
            "Exported": manifest.exported,
        }
        return {"Name": name, **copied_fields(copied[0]), "Archive": archived}
