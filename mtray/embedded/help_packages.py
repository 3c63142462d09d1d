"""The Debian packages with LibreOffice's help in several languages (MPL-2.0), pinned by version and
SHA-256. They come from a folder that the user names, else from the machine's own package archive
(apt), else from Debian's public one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from mtray.errors import DataError
from mtray.files import file_hash

POOL = "https://deb.debian.org/debian/pool/main/libr/libreoffice"
HELP_VERSION = "4:7.4.7-1+deb12u14"
# set by a user who has the packages in a folder, or wants those of another version
FOLDER_VARIABLE, HELP_VERSION_VARIABLE = "MTRAY_DEBIAN_PACKAGES", "MTRAY_HELP_VERSION"
SECONDS = 120.0
VERSION = re.compile(r"(\d+:)?\d[A-Za-z0-9.+~-]*")  # Debian Policy, section 5.6.12


@dataclass(frozen=True)
class HelpPackage:
    """One language's package: `suffix` of its name, the `folder` of its pages, and the SHA-256 of
    the pinned version."""

    suffix: str
    folder: str
    sha256: str

    @property
    def name(self) -> str:
        return f"libreoffice-help-{self.suffix}"


PACKAGES = {
    "en": HelpPackage(
        "en-us", "en-US", "8faa840285734d6cfe1ed25537b48f07e74bd6412e3917bf8e5f8a653f7b3712"
    ),
    "de": HelpPackage(
        "de", "de", "00490b63c509ac96f7f212d6a6e40452d3e0d1f97ccf4b824dd5ec4c01e8277f"
    ),
    "es": HelpPackage(
        "es", "es", "9128a84d83d92c8b1c618d90469d16affddb7d1290b09d42a0c5109cb16f0480"
    ),
    "fr": HelpPackage(
        "fr", "fr", "c796530d3e95af1ea4d054076682efc8aad2b569ae9513f3d4a776b2df3fd206"
    ),
    "ja": HelpPackage(
        "ja", "ja", "7799ace9bfe0845771ed2499913e7f7e521318cf3727c007672e3b020f8eb7b9"
    ),
    "ru": HelpPackage(
        "ru", "ru", "5a2f75d5b0dfcf660275070647af528a81be28b5d3e9c3ec2d419ef5518db7a2"
    ),
    "zh": HelpPackage(
        "zh-cn", "zh-CN", "db867cdece4c2f9c7eebe65e519c6cf386fdcf49d6e061db3dffec893b3e1dee"
    ),
}


@dataclass(frozen=True)
class FetchedPackage:
    """A package's file, its version, its SHA-256 and whether that is the pinned one."""

    path: Path
    name: str
    version: str
    sha256: str
    pinned: bool

    @property
    def note(self) -> str:
        """Empty for the pinned version."""
        if self.pinned:
            return ""
        return (
            f"{self.name} is version {self.version} (sha256 {self.sha256}), not the pinned "
            f"{HELP_VERSION}: its text may differ from that of the results in docs/"
        )


def help_version() -> str:
    """The version that the user names, or the pinned one. Raises DataError for what is none."""
    version = os.environ.get(HELP_VERSION_VARIABLE) or HELP_VERSION
    if not VERSION.fullmatch(version):
        raise DataError(
            f"{HELP_VERSION_VARIABLE}={version!r}: no version of a Debian package, such as "
            f"{HELP_VERSION}"
        )
    return version


def check_version(made_from: Collection[str], target: Path) -> None:
    """Raise DataError where texts were made from other versions than `help_version`."""
    if set(made_from) != {help_version()}:
        raise DataError(
            f"{target}: was made from version {', '.join(sorted(made_from))} of the packages, and "
            f"{help_version()} is asked for; remove that folder, or set {HELP_VERSION_VARIABLE} to "
            "that version"
        )


def fetch_package(package: HelpPackage, into: Path) -> FetchedPackage:
    """Find or download one package. Another version than the pinned one is accepted only where the
    user names it. Raises DataError naming what to do."""
    version, given = help_version(), os.environ.get(FOLDER_VARIABLE)
    if given:
        path = _in_folder(package, Path(given).expanduser(), version)
    elif shutil.which("apt-get"):
        path = _by_apt(package, version, into)
    else:
        path = _from_pool(package, version, into)
    digest = file_hash(path)
    pinned = digest == package.sha256
    if version == HELP_VERSION and not pinned:
        raise DataError(
            f"{path}: sha256 is {digest}, expected {package.sha256} for version {HELP_VERSION}; "
            "the file was not used"
        )
    return FetchedPackage(path, package.name, version, digest, pinned)


def _in_folder(package: HelpPackage, folder: Path, version: str) -> Path:
    found = {_version_in(file): file for file in sorted(folder.glob(f"{package.name}_*.deb"))}
    wanted = _without_epoch(version)
    if wanted in found:
        return found[wanted]
    there = ", ".join(found) or "none"
    raise DataError(
        f"{FOLDER_VARIABLE}={folder}: no {package.name}_{wanted}_all.deb; versions of it there: "
        f"{there}. Put it there (`apt-get download {package.name}`), or name the version that is "
        f"there with {HELP_VERSION_VARIABLE}=VERSION"
    )


def _without_epoch(version: str) -> str:
    return version.rpartition(":")[2]


def _version_in(file: Path) -> str:
    """The version in a package's file name, without its epoch."""
    return _without_epoch(unquote(file.name).split("_")[1])


def _by_apt(package: HelpPackage, version: str, into: Path) -> Path:
    """With the machine's own sources and proxies; needs no root."""
    command = ["apt-get", "download", "-q", f"{package.name}={version}"]
    done = subprocess.run(command, cwd=into, capture_output=True, text=True)
    found = sorted(into.glob(f"{package.name}_*.deb"))
    if done.returncode == 0 and found:
        return found[0]
    why = (done.stderr.strip().splitlines() or ["apt-get gave no reason"])[-1]
    known = subprocess.run(["apt-cache", "madison", package.name], capture_output=True, text=True)
    versions = [line.split("|")[1].strip() for line in known.stdout.splitlines() if "|" in line]
    raise DataError(
        f"{package.name} {version}: apt-get could not download it: {why}\n"
        f"versions that this machine's archive has: {', '.join(dict.fromkeys(versions)) or 'none'}"
        f". Run `apt-get update`, name one of them with {HELP_VERSION_VARIABLE}=VERSION (its hash "
        f"is recorded, and the text may differ), or put the packages into a folder and set "
        f"{FOLDER_VARIABLE} to it"
    )


def _from_pool(package: HelpPackage, version: str, into: Path) -> Path:
    file = f"{package.name}_{_without_epoch(version)}_all.deb"
    try:
        with urllib.request.urlopen(f"{POOL}/{file}", timeout=SECONDS) as answer:
            (into / file).write_bytes(answer.read())
    except OSError as error:
        raise DataError(
            f"{POOL}/{file}: could not be downloaded ({error}); the archive keeps only the present "
            f"versions. Put the packages into a folder and set {FOLDER_VARIABLE} to it, or name a "
            f"version that is there with {HELP_VERSION_VARIABLE}=VERSION"
        ) from None
    return into / file
