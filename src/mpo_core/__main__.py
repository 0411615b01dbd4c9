"""`python -m mpo_core` says which version is installed."""

import mpo_core

print(mpo_core.__version__)
