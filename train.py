"""`python train.py --config=configs/runs/default.json` is `assay train --config=configs/runs/default.json`."""

import sys

from assay.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
