"""submitit's Slurm executor, of which its parameters, its text and its command are used, and nothing else.

No function is pickled and nothing of submitit is loaded on a node. What this leans on is pinned by golden tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from submitit.slurm.slurm import SlurmExecutor

# It tells submitit's own code in the job where it is; there is none of it there.
_MARK = "export SUBMITIT_EXECUTOR=slurm\n"
# It always asks for a signal; where a site wants none, the parameter is overridden with nothing.
_NO_SIGNAL = "#SBATCH --signal=None\n"


class ScriptExecutor(SlurmExecutor):
    """Checks parameters, writes the submission's text, names the command that submits it.

    Args:
        folder: The folder of the arrays.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder=folder)

    @classmethod
    def affinity(cls) -> int:
        """Say that a Slurm is there: a text can be written, and shown, without one."""
        return 2

    def text(self, command: str, parameters: dict[str, Any]) -> str:
        """Return the text of a submission.

        Args:
            command: The shell line that the batch script ends with.
            parameters: In submitit's words.

        Raises:
            ValueError: For a parameter that submitit does not know.
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
            FailedSubmissionError: Where there is none.
        """
        return SlurmExecutor._get_job_id_from_submission_command(answer)
