"""Which objects the manifests of a mirror name, so that the others can be removed."""

from __future__ import annotations

from mtray.mirror.bucket import Bucket
from mtray.mirror.manifest import Manifest, manifest_names, parsed, place_of
from mtray.mirror.owner import Fenced, Owner

KEPT = 2  # manifests, the newest


class ManifestObjects:
    """The manifests of one place.

    - `unneeded`: objects that are still to be removed.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._objects: dict[str, frozenset[str]] = {}  # by the manifest's name
        self.unneeded: set[str] = set()

    def all_objects(self) -> set[str]:
        """The objects of all manifests that are there."""
        return {name for manifest in manifest_names(self._bucket) for name in self._of(manifest)}

    def check(self, owner: Owner) -> None:
        """Raises Fenced if there is a manifest of a later owner."""
        for name in manifest_names(self._bucket)[:1]:
            place = place_of(name)
            if place and place[0] > owner.epoch:
                raise Fenced(
                    "another sweep has taken it over; what this sweep measures from now on is only "
                    "in its run folder"
                )

    def replaced_by(self, manifest: Manifest) -> None:
        """Remove all manifests but the `KEPT` newest, of which `manifest` is one. The objects
        that only removed ones named are unneeded then."""
        self._objects[manifest.name] = manifest.objects
        names = manifest_names(self._bucket)
        kept = {name for manifest in names[:KEPT] for name in self._of(manifest)}
        for name in names[KEPT:]:
            self.unneeded |= self._of(name)
        self.unneeded -= kept
        for name in names[KEPT:]:
            self._bucket.remove(name)
            self._objects.pop(name, None)

    def _of(self, name: str) -> frozenset[str]:
        """The objects of a manifest; none if it is damaged or gone."""
        if name not in self._objects:
            try:
                found = parsed(self._bucket.read(name))
            except FileNotFoundError:
                found = None
            self._objects[name] = found.objects if found else frozenset()
        return self._objects[name]
