"""Arrays of either side: JAX's on the devices, numpy's on the host."""

import numpy as np
from jaxtyping import Array

AnyArray = Array | np.ndarray
