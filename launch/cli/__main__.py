"""`python -m launch.cli`: the command line for an interpreter whose scripts are not on the PATH."""

import sys

from launch.cli import main

sys.exit(main())
