"""`python -m launch.cli`: the command line of an interpreter whose scripts are not on the path."""

import sys

from launch.cli import main

sys.exit(main())
