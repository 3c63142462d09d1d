"""What an import brings along, which only a process shows that has imported nothing else."""

from __future__ import annotations

import subprocess
import sys

LIST = "\nimport sys; print(*{module.split('.')[0] for module in sys.modules})"


def modules_after(code: str) -> set[str]:
    """Top-level modules and packages that a new process has imported once it ran `code`."""
    done = subprocess.run([sys.executable, "-c", code + LIST], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())
