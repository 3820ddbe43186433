"""`python -m nanospan` is the command `nanospan`."""

import sys

from nanospan._cli import main

sys.exit(main())
