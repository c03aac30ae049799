"""The verbs of the command line and their actions, each with one line of help."""

# In the usual order of use. `launch --help` and the verb's own help show the line.
VERBS = {
    "sweep": "run a sweep file: every run that is left to do",
    "run": "run one experiment: a sweep of one",
    "status": "show the sweeps, or the runs of one",
    "watch": "show a sweep while it runs, without touching it",
    "wait": "return when a sweep has ended",
    "logs": "show what a run printed",
    "show": "show one run: configuration, command, attempts, results, files",
    "cancel": "stop sweeps or runs until a retry",
    "retry": "run again what failed, was cancelled or was lost",
    "results": "show the table of a sweep: mean and standard deviation over seeds",
    "compare": "show the numbers of several sweeps side by side",
    "report": "write a sweep's results and learning curves as one HTML page",
    "rm": "delete sweeps or runs, with their results",
    "gc": "delete what finished runs no longer need",
    "models": "list the model families: papers, keys, defaults, recipes and sweeps",
    "data": "prepare data sets: find or make their files, check them, convert them",
    "shell": "open the container that runs execute in, for a person",
    "image": "build container images, list, check, convert, push and pull them",
    "doctor": "check this machine: what is there, what is missing, what to do",
    "completion": "print the completion script of a shell",
}

# The verbs with actions. Each action has its own line, help and options.
ACTIONS = {
    "data": {
        "prepare": "find or make the files of data sets, check them, convert them",
    },
    "image": {
        "build": "build an image of docker/images.yaml",
        "list": "show which images are built, and whether their recipes have changed since",
        "check": "execute an image: is JAX on the right device, does it train",
        "convert": "write an image as the file or folder that a runtime without an engine executes",
        "push": "give an image to a registry, and print its digest",
        "pull": "get an image from a registry by its digest",
    },
}

# The verbs about stored runs. Each has `--runs` and `--on`, which say where these runs lie.
OF_STORED_RUNS = frozenset(
    {"status", "watch", "wait", "logs", "cancel", "results", "compare", "report", "gc", "rm", "show"}
)
# The verbs that submit runs. Their `--on` says where the runs execute.
OF_SUBMISSION = frozenset({"sweep", "run", "retry"})
# The verbs, with their actions, that neither read nor write run directories: they have no `--runs`.
WITHOUT_RUNS = frozenset(
    {"completion", "models", "data prepare", *(f"image {action}" for action in ACTIONS["image"] if action != "convert")}
)

EXIT_CODES = "exit codes: 0 ok, 1 some runs failed, 2 usage or config error, 3 backend unreachable, 130 interrupted"
