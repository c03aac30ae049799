"""`python -m launch.supervise`: see `launch.supervise.supervisor`."""

import sys

from launch.supervise.supervisor import main

sys.exit(main())
