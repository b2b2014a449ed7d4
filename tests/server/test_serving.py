"""TLS, settings, the page."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import httpx2
import pytest
import trustme

from hub.settings import Settings, SettingsError, load
from mcp_bridge.serve import Served, serving

pytestmark = pytest.mark.anyio


async def test_the_hub_serves_tls_with_a_given_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    settings = Settings(
        home=tmp_path / "home",
        port=0,
        log_level="error",
        tls_cert=str(tmp_path / "cert.pem"),
        tls_key=str(tmp_path / "key.pem"),
    )
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with serving(settings) as served:
        assert served.url.startswith("https://")
        async with httpx2.AsyncClient(base_url=served.url, verify=trust) as client:
            assert (await client.get("/readyz")).json() == {"status": "ready"}


def test_flags_win_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "bridge.toml").write_text('port = 1\nhost = "localhost"\nlog_level = "warning"\n')
    env = {"BRIDGE_HOME": str(tmp_path), "BRIDGE_PORT": "2", "BRIDGE_LOG_LEVEL": "error"}
    found = load({"port": 3}, env)
    assert (found.port, found.log_level, found.host) == (3, "error", "localhost")


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({"BRIDGE_PROT": "1"}, "BRIDGE_PROT"),
        ({"BRIDGE_PORT": "many"}, "port"),
        ({"BRIDGE_PORT": "99999"}, "99999"),
        ({"BRIDGE_TLS_CERT": "x"}, "tls_key"),
        ({"BRIDGE_BEHIND_PROXY": "maybe"}, "behind_proxy"),
        ({"BRIDGE_LOG_LEVEL": "loud"}, "log_level"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, env: dict[str, str], names: str) -> None:
    with pytest.raises(SettingsError, match=names):
        load({}, {"BRIDGE_HOME": str(tmp_path), **env})


def test_an_unknown_key_in_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bridge.toml").write_text("prot = 1\n")
    with pytest.raises(SettingsError, match="prot"):
        load({}, {"BRIDGE_HOME": str(tmp_path)})


def test_an_open_address_needs_tls_or_a_proxy() -> None:
    with pytest.raises(SettingsError, match="--tls-cert"):
        Settings(host="0.0.0.0").check_exposure()
    Settings(host="0.0.0.0", behind_proxy=True).check_exposure()


async def test_the_page_runs_only_its_own_scripts(served: Served) -> None:
    async with httpx2.AsyncClient(base_url=served.url) as client:
        page = await client.get("/")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", page.text), "nothing inline"
        for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
            assert (await client.get(name)).status_code == 200
        assert (await client.get("/static/../page.py")).status_code == 404
