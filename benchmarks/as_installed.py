"""For a process that is to use as much memory as the installed package does; to be imported before all else.

structlog takes rich along where it finds it, some 3 MB. Debian's package does not bring it, the demo's packages do.
"""

import sys

sys.modules["rich"] = None  # pyright: ignore[reportArgumentType]  # "not to be found", in the reference of `import`
