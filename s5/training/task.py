"""The task of a data set, and the check that a trained model can read another data set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from s5.catalog import DatasetInfo
from s5.config.choices import Head
from s5.data import Dataset
from s5.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Task:
    """The properties of a data set that a model must fit. Checkpoints store them: files may differ from the catalog.

    Attributes:
        d_input: Number of features of a step, or of different tokens.
        n_classes: Number of classes; for a regression, number of features of a target.
        head: The name of the required head.
        vocabulary: Name of the mapping from tokens to symbols; empty for features. None if it is unknown: in old
            checkpoints, and in a task that was made from a catalog entry.
        class_names: The names of the classes, in the order of their numbers; empty if they have none, and in old
            checkpoints.
    """

    d_input: int
    n_classes: int
    head: str
    vocabulary: str | None = None
    class_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))  # JSON has lists

    @classmethod
    def of(cls, data: Dataset | DatasetInfo) -> "Task":
        """Return the task of a data set, or of its entry in the catalog."""
        own = {"d_input": data.d_input, "n_classes": data.n_classes, "head": data.head.name}
        if isinstance(data, Dataset):
            return cls(**own, vocabulary=data.vocabulary, class_names=data.class_names)
        return cls(**own)

    def __str__(self) -> str:
        return f"{self.head} of steps of {self.d_input} with {Head[self.head].answers(self.n_classes)}"


def check_same_task(
    key: str, dataset: Dataset, own: Task, hint: str = "name a data set of the same kind with the same tokens"
) -> None:
    """Check that a model trained for a task can read a data set.

    Args:
        key: The key or option that names the data set, for the message.
        dataset: The data set.
        own: The model's task.
        hint: The hint of the error.

    Raises:
        UserError: If the data need another model, or their tokens or the numbers of their classes another meaning.
    """
    asked = Task.of(dataset)
    if replace(asked, vocabulary=own.vocabulary, class_names=own.class_names) != own:
        raise UserError(f"{key}: {dataset.name} is a {asked}, but the model was trained for a {own}", hint=hint)
    if own.vocabulary not in (None, asked.vocabulary):
        raise UserError(
            f"{key}: the tokens of {dataset.name} are {asked.vocabulary or 'features'}, "
            f"but those of the training data were {own.vocabulary or 'features'}",
            hint=hint,
        )
    if own.class_names and asked.class_names and own.class_names != asked.class_names:
        raise UserError(
            f"{key}: the classes of {dataset.name} are {', '.join(asked.class_names)}, "
            f"but those of the training data were {', '.join(own.class_names)}",
            hint=hint,
        )
