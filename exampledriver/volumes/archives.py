"""Archives of volumes, to and from who listens at a socket."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import define

from ..admin.interfaces import Fields, Report
from ..backends.copying import placing
from ..backends.copying.archive import Manifest
from ..backends.copying.channels import Channel
from ..backends.copying.copiers import TreeCopier
from ..backends.copying.exporting import export_tree
from ..backends.copying.importing import Import
from ..backends.copying.trees import Copied
from ..plugin.volume import rfc3339
from .copying import Copying, copied_fields
from .errors import ConflictError, InvalidOptionError, quoted
from .model import DIRECTORY, FROM, StoredVolume

#: The options of an archived volume that the imported one has too; its directory has them.
_KEPT = ("gid", "mode", "uid")
#: Options that an imported volume cannot have.
_NOT_IMPORTED = (FROM, "mountpoint", "size")
#: What the manifest says of a volume that nobody used when its export began.
_WHEN_BEGUN = "exact when begun"


@define(eq=False)
class Archives(Copying):
    """Exports and imports."""

    async def export(self, name: str, label: str, channel: str, report: Report) -> Fields:
        """Send a volume, or a snapshot, to who listens at a socket."""

        async def work() -> tuple[Copied, str]:
            if label:
                async with self._locks.held(name):
                    snapshots = self._snapshots()
                    found = await self._run(name, "exporting", lambda: snapshots.get(name, label))
                    volume: StoredVolume | None = self._service.volumes.get(name)
                    data = snapshots.directory(name) / label / "data"
                    return await send(data, volume, found.consistency), found.consistency
            async with self._reading(name) as hold:
                volume = hold.volume
                consistency = self._copier(volume).consistency
                # The manifest comes first, and what happens before the end is not known then.
                begun = consistency(True) if hold.used else _WHEN_BEGUN
                copied = await send(Path(volume.mountpoint), volume, begun)
                return copied, consistency(hold.used)

        async def send(data: Path, volume: StoredVolume | None, consistency: str) -> Copied:
            manifest = Manifest(
                name,
                volume.backend if volume else DIRECTORY,
                rfc3339(volume.created) if volume else "",
                dict(volume.options) if volume else {},
                rfc3339(self._service.now()),
                consistency=consistency,
            )

            def export() -> Copied:
                with Channel(self._channels / channel, progress) as output:
                    return export_tree(data, manifest, output, progress, self._root)

            return await self._run(name, "exporting", export)

        with self._work(name) as (progress, about):
            copied, consistency = await self._waits.telling(report, about, work())
        fields = copied_fields(copied)
        return {"Name": name, "Label": label, **fields, "Consistency": consistency}

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
            await self._run(name, "importing", source.__enter__)
            try:
                archive = Import(source, progress)
                manifest = await self._run(name, "importing", archive.read_manifest)
                manifests.append(manifest)
                kept = {key: manifest.options[key] for key in _KEPT if key in manifest.options}

                def fill(content: Path, scratch: Path) -> Copied:
                    copied.append(archive.extract(content, scratch))
                    placing.own(content, options)
                    return copied[0]

                wanted = {"backend": DIRECTORY, **kept, **options}
                origin = self._origin("importing", fill, TreeCopier())
                await self._service.create(name, wanted, origin)
                await self._forget(name)
            finally:
                source.__exit__()

        manifests: list[Manifest] = []
        copied: list[Copied] = []
        with self._work(name) as (progress, about):
            await self._waits.telling(report, about, work())
        (manifest,) = manifests
        archived: dict[str, object] = {
            "Name": manifest.name,
            "Backend": manifest.backend,
            "Options": manifest.options,
            "Exported": manifest.exported,
        }
        return {"Name": name, **copied_fields(copied[0]), "Archive": archived}
