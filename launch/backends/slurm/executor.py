"""submitit's Slurm executor: only its parameters, the text of its batch script and its command are used.

No function is pickled and nothing of submitit is loaded on a node. Golden tests pin what this relies on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from submitit.slurm.slurm import SlurmExecutor

# It is meant for submitit's own code in the job, which is not used.
_MARK = "export SUBMITIT_EXECUTOR=slurm\n"
# submitit always asks for a signal; if a site wants none, the parameter is overridden with None.
_NO_SIGNAL = "#SBATCH --signal=None\n"


class ScriptExecutor(SlurmExecutor):
    """Checks parameters, writes the batch script, names the command that submits it; scripts lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder=folder)

    @classmethod
    def affinity(cls) -> int:
        """Return that Slurm is there: a script can be written, and shown, without it."""
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
        """Return the number of the job in sbatch's answer.

        Raises:
            FailedSubmissionError: If there is none.
        """
        return SlurmExecutor._get_job_id_from_submission_command(answer)
