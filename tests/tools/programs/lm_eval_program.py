"""``lm_eval``, but for its own tasks: there are thousands, and it takes a while to read of them."""

from functools import partial

import lm_eval.tasks
from lm_eval.__main__ import cli_evaluate

lm_eval.tasks.TaskManager = partial(lm_eval.tasks.TaskManager, include_defaults=False)
cli_evaluate()
