"""What compose.yaml says to itself and to nginx. Whether it can be read, `deploy/check` asks of docker-compose and its schema."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    return found


def test_nginx_knows_where_a_node_is_that_is_away(services: dict[str, Any]) -> None:
    """Docker resolves what runs only, and nginx does not start with a name that it cannot resolve."""
    named = re.findall(r"^server ([\w-]+):8000 ", (FOLDER / "nginx/compose/nodes.conf").read_text(), re.MULTILINE)
    nodes = {name: one["networks"]["messenger"]["ipv4_address"] for name, one in services.items() if name in named}
    assert len(named) == 2
    assert sorted(services["nginx"]["extra_hosts"]) == [f"{name}:{nodes[name]}" for name in sorted(named)]


def test_nginx_is_the_proxy_that_is_trusted(services: dict[str, Any]) -> None:
    address = services["nginx"]["networks"]["messenger"]["ipv4_address"]
    for name in ("messenger-1", "messenger-2"):
        assert services[name]["environment"]["MESSENGER_TRUSTED_PROXIES"] == address


def test_an_image_is_built_once_and_before_it_runs(services: dict[str, Any]) -> None:
    """Of several builds of one tag at once some fail."""
    (builder,) = (name for name, one in services.items() if "build" in one)
    same = [name for name, one in services.items() if one["image"] == services[builder]["image"]]
    assert sorted(same) == ["messenger-1", "messenger-2", "migrate"]
    for name in set(same) - {builder}:
        assert services[name]["depends_on"][builder] == {"condition": "service_completed_successfully"}


def test_the_readme_names_services_that_are_there(services: dict[str, Any]) -> None:
    readme = (FOLDER / "README.md").read_text()
    named = re.findall(r"compose (?:exec|run|stop)(?: -\S+(?: tar)?)* ([a-z][\w-]*)", readme)
    assert {"postgres", "messenger-1", "migrate"} <= set(named) <= services.keys()
