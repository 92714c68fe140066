"""Many runs of one bundle: which settings they differ in, the processes that train them, and what came of it."""
