"""Copies the studies and spaces that a checkout has beside the package into a wheel."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("sweeps", "search_spaces")  # mtray.paths.shipped finds them


class WithStudies(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # the checkout itself has them
        for folder in SHIPPED:
            for file in Path(folder).rglob("*.yaml"):
                target = Path(self.build_lib, "mtray", "shipped", file)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)


setup(cmdclass={"build_py": WithStudies})
