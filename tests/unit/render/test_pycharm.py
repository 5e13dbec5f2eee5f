"""PyCharm's project files: new ones, and merged into those that people have."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from golden import assert_golden

from rigstack.errors import ConfigError
from rigstack.render.pycharm import (
    Workspace,
    gateway_link,
    render_deployment,
    render_ssh_configs,
    render_web_servers,
)

BOX = Workspace(
    name="box-demo",
    host="127.0.0.1",
    port=42001,
    user="dev",
    folder="/code/demo",
    python="/home/dev/.env/bin/python",
    key="$USER_HOME$/.ssh/id_ed25519",
    excluded=("data",),
)
RENDERS = {"sshConfigs": render_ssh_configs, "webServers": render_web_servers, "deployment": render_deployment}

PRESENT = {
    "sshConfigs": """<?xml version="1.0" encoding="UTF-8"?>
<project version="4">
  <!-- mine -->
  <component name="SshConfigs">
    <configs>
      <sshConfig authType="PASSWORD" host="10.0.0.5" id="f00" port="22" nameFormat="DESCRIPTIVE" username="root" />
    </configs>
  </component>
</project>""",
    "webServers": """<?xml version="1.0" encoding="UTF-8"?>
<project version="4">
  <component name="WebServers">
    <option name="servers">
      <webServer id="old" name="old &amp; &quot;odd&quot;">
        <fileTransfer rootFolder="/srv" accessType="SFTP" host="h" port="22" sshConfig="root@h:22 password">
          <advancedOptions>
            <advancedOptions dataProtectionLevel="Private" keepAliveTimeout="0" />
          </advancedOptions>
        </fileTransfer>
      </webServer>
    </option>
  </component>
</project>""",
    "deployment": """<?xml version="1.0" encoding="UTF-8"?>
<project version="4">
  <component name="PublishConfigData" autoUpload="On explicit save action" serverName="old" x="y">
    <option name="excludedMatch" value=".svn;*.pyc" />
    <serverData>
      <paths name="old">
        <serverdata>
          <mappings>
            <mapping deploy="/" local="$PROJECT_DIR$/web" web="/" />
          </mappings>
        </serverdata>
      </paths>
    </serverData>
  </component>
  <component name="Something"><deep><er a="1" /></deep></component>
</project>""",
}


@pytest.mark.parametrize("name", RENDERS)
def test_new_files(name: str) -> None:
    assert_golden(f"pycharm-{name}.xml", RENDERS[name](None, BOX))


@pytest.mark.parametrize("name", RENDERS)
def test_merged_files(name: str) -> None:
    merged = RENDERS[name](PRESENT[name], BOX)
    assert_golden(f"pycharm-{name}-merged.xml", merged)
    assert RENDERS[name](merged, BOX) == merged
    before = {ET.tostring(one) for one in ET.fromstring(PRESENT[name]).iter() if len(one) == 0 and one.attrib}
    after = {ET.tostring(one) for one in ET.fromstring(merged).iter() if len(one) == 0 and one.attrib}
    assert {one.split(b"/>")[0] for one in before} <= {one.split(b"/>")[0] for one in after}


def test_a_changed_port_replaces_ours_and_no_other() -> None:
    first = render_ssh_configs(PRESENT["sshConfigs"], BOX)
    second = render_ssh_configs(first, BOX.replace(port=42002, key=""))
    assert second.count("<sshConfig ") == 2
    assert 'port="42002"' in second
    assert 'port="42001"' not in second
    assert 'authType="OPEN_SSH"' in second
    assert "keyPath" not in second
    assert "<!-- mine -->" in second


@pytest.mark.parametrize("text", ["<project", "hello", "<application/>"])
def test_what_is_not_pycharm_s_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"\.idea/deployment\.xml"):
        render_deployment(text, BOX)


def test_the_gateway_link() -> None:
    assert gateway_link(BOX) == (
        "jetbrains-gateway://connect#projectPath=%2Fcode%2Fdemo&host=127.0.0.1&port=42001&user=dev&type=ssh&deploy=false"
    )
