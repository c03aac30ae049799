"""Write batch scripts with submitit: only its parameter checks, its script and its sbatch command are used.

No function is pickled, and the nodes do not load submitit. Golden tests check the text that this relies on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from submitit.slurm.slurm import SlurmExecutor

# Only submitit's own code in the job reads this, and it is not used.
_MARK = "export SUBMITIT_EXECUTOR=slurm\n"
# submitit always adds `--signal`; if a site wants no signal, the parameter is set to None and this line is removed.
_NO_SIGNAL = "#SBATCH --signal=None\n"


class ScriptExecutor(SlurmExecutor):
    """Checks the parameters of an array, and returns its batch script and the command that submits it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder=folder)

    @classmethod
    def affinity(cls) -> int:
        """Return a value that makes submitit believe that Slurm exists: scripts can be written without it."""
        return 2

    def text(self, command: str, parameters: dict[str, Any]) -> str:
        """Return the batch script.

        Args:
            command: The shell line that it ends with.
            parameters: The options, by submitit's names.

        Raises:
            ValueError: If submitit does not know a parameter.
        """
        self.parameters = {}
        self.update_parameters(**self._convert_parameters(parameters))
        text = self._make_submission_file_text(command, "").replace(_MARK, "")
        return "".join(line for line in text.splitlines(keepends=True) if line != _NO_SIGNAL)

    def command(self, script: Path) -> list[str]:
        """Return the command line that submits a script."""
        return self._make_submission_command(script)

    @staticmethod
    def job_in(answer: str) -> str:
        """Return the job number in the output of sbatch.

        Raises:
            FailedSubmissionError: If the output has no job number.
        """
        return SlurmExecutor._get_job_id_from_submission_command(answer)
