"""What a rig wants of JupyterLab and a person may change in ~/.jupyter."""

from pathlib import Path

c = get_config()  # noqa: F821

share = Path.home() / ".local/share/rigstack/jupyter"
share.mkdir(parents=True, exist_ok=True)

c.MappingKernelManager.default_kernel_name = "project"
c.AsyncMappingKernelManager.kernel_manager_class = "rigstack_kernels.KernelManager"
# The image's own Python runs Jupyter, not people's code.
c.KernelSpecManager.ensure_native_kernel = False
c.ServerApp.terminado_settings = {"shell_command": ["/bin/bash", "-l"]}

# Logins outlive the container; a changed password still ends them, since Jupyter mixes its hash into the secret.
c.ServerApp.cookie_secret_file = str(share / "cookie-secret")
# The password is set in the rig (secrets/), not from the login page.
c.PasswordIdentityProvider.allow_password_change = False

# A document without a browser would be let go after a minute, and what its cells print after that be lost.
c.YDocExtension.document_cleanup_delay = None

# These would else stand in the project's folder, and the history of documents grow for ever.
c.YDocExtension.session_store_path = str(share / "sessions.json")
c.YDocExtension.ystore_class = "rigstack_documents.DocumentStore"
c.SQLiteYStore.db_path = str(share / "documents.db")
c.SQLiteYStore.squash_after_inactivity_of = 24 * 3600

# Extensions belong into the image; this also keeps the extension panel from asking the package index.
c.LabApp.extension_manager = "readonly"

# A rig may have no way out, and its notebooks are nobody's business.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
