"""`python -m assay.logger.courier RUN`."""

from __future__ import annotations

import sys

from assay.logger.courier.process import run

if __name__ == "__main__":
    run(sys.argv[1:])
