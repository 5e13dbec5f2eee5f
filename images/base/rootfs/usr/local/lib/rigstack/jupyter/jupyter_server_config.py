"""What a rig wants of JupyterLab and a person may change in ~/.jupyter."""

import os
from pathlib import Path

c = get_config()  # noqa: F821

home = Path.home()
c.ServerApp.terminado_settings = {"shell_command": ["/bin/bash", "-l"]}
c.MappingKernelManager.default_kernel_name = "project"
# The image's own Python runs Jupyter, not people's code.
c.KernelSpecManager.ensure_native_kernel = False
c.MappingKernelManager.cull_idle_timeout = 0
# A rig may have no way out, and its notebooks are nobody's business.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
